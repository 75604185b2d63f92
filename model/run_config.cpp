#include "model/run_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "model/run_fields.h"

namespace dropforge {

namespace {

using namespace config;

// ---- Names that don't exist.

size_t edit_distance(std::string_view a, std::string_view b) {  // Levenshtein, one row of the table at a time
    std::vector<size_t> row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = std::exchange(row[0], i);
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

/// The key that `key` may have been meant as: misspelt, in another table, or cut short (warmup for warmup_steps).
std::string nearest_key(const std::string& key) {
    const std::string name = key.substr(key.find('.') + 1);
    const auto distance = [&](const Field& field) {
        if (name.size() >= 3 && field.key().starts_with(key)) return size_t{2};
        return std::min(edit_distance(key, field.key()), edit_distance(name, field.name) + 2);
    };
    return std::ranges::min_element(fields(), {}, distance)->key();
}

std::string nearest_table(const std::string& table) {
    return std::ranges::min_element(fields(), {}, [&](const Field& f) { return edit_distance(table, f.table); })->table;
}

[[noreturn]] void unknown_key(const std::string& where, const std::string& key) {
    throw Error("{}: there is no key {}; the nearest is {}", where, key, nearest_key(key));
}

// ---- One value in.

std::string describe(const toml::node& node) {
    std::ostringstream text;
    if (node.is_string()) {
        text << "the string \"" << node.as_string()->get() << '"';
    } else if (node.is_table() || node.is_array()) {
        text << (node.is_table() ? "a table" : "an array");
    } else {
        node.visit([&](const auto& value) { text << value; });
    }
    return text.str();
}

std::string one_of(const std::vector<const char*>& names) {
    std::string text;
    for (const char* name : names) text += fmt::format("{}\"{}\"", text.empty() ? "" : ", ", name);
    return (names.size() == 1 ? "" : "one of ") + text;
}

/// Assigns a TOML value to the field, or throws: `where`: key: expected …, got ….
class Assign {
  public:
    Assign(const Field& field, const toml::node& node, std::string where)
        : field_(field), node_(node), where_(std::move(where)) {}

    void operator()(int64_t* slot) const { *slot = integer(); }
    void operator()(const Derived& slot) const { *slot.given = integer(); }
    void operator()(double* slot) const { *slot = number(); }
    void operator()(float* slot) const {
        const auto value = static_cast<float>(number());
        if (!field_.range.holds(value)) fail("a number " + field_.range.text() + " in single precision");
        *slot = value;
    }
    void operator()(bool* slot) const {
        if (!node_.is_boolean()) fail("true or false");
        *slot = node_.as_boolean()->get();
    }
    void operator()(std::string* slot) const { *slot = text("a string"); }
    void operator()(const Choice& slot) const {
        const auto& names = field_.choices;
        const std::string expected = one_of(names);
        const auto found = std::ranges::find(names, text(expected));
        if (found == names.end()) fail(expected);
        slot.assign(static_cast<size_t>(found - names.begin()));
    }
    void operator()(const Preset& slot) const {
        try {
            const BertConfig preset = BertConfig::preset(text("the name of a preset"));
            slot.model->hidden = preset.hidden;
            slot.model->layers = preset.layers;
            slot.model->heads = preset.heads;
            slot.model->intermediate = preset.intermediate;
        } catch (const Error& error) {
            throw Error("{}: {}: {}", where_, field_.key(), error.what());
        }
    }

  private:
    [[noreturn]] void fail(const std::string& expected) const {
        throw Error("{}: {}: expected {}, got {}", where_, field_.key(), expected, describe(node_));
    }
    int64_t integer() const {
        const std::string expected = "an integer " + field_.range.text();
        if (!node_.is_integer()) fail(expected);
        const int64_t value = node_.as_integer()->get();
        if (!field_.range.holds(static_cast<double>(value))) fail(expected);
        return value;
    }
    double number() const {
        const std::string expected = "a number " + field_.range.text();
        if (!node_.is_number()) fail(expected);
        const double value = *node_.value<double>();
        if (!field_.range.holds(value)) fail(expected);
        return value;
    }
    std::string text(const std::string& expected) const {
        if (!node_.is_string()) fail(expected);
        return node_.as_string()->get();
    }

    const Field& field_;
    const toml::node& node_;
    std::string where_;
};

void assign(const Field& field, RunConfig& config, const toml::node& node, const std::string& where) {
    std::visit(Assign(field, node, where), field.slot(config));
    if (field.after != nullptr) field.after(config);
    config.origins[field.key()] = where;
}

// ---- One value out.

/// The shortest decimal that reads back as the same number, with a point or an exponent as TOML wants it of a float.
template <typename Float>
std::string decimal(Float value) {
    std::string text = fmt::format("{}", value);
    if (text.find_first_of(".e") == std::string::npos) text += ".0";
    return text;
}

struct Print {
    const Field& field;

    std::string operator()(const int64_t* slot) const { return std::to_string(*slot); }
    std::string operator()(const Derived& slot) const { return std::to_string(slot.value); }
    std::string operator()(const double* slot) const { return decimal(*slot); }
    std::string operator()(const float* slot) const { return decimal(*slot); }
    std::string operator()(const bool* slot) const { return *slot ? "true" : "false"; }
    std::string operator()(const std::string* slot) const {
        std::ostringstream text;
        text << toml::value<std::string>(*slot);
        return text.str();
    }
    std::string operator()(const Choice& slot) const { return fmt::format("\"{}\"", field.choices[slot.value]); }
    std::string operator()(const Preset&) const { return {}; }
};

/// As in TOML; "" for a shorthand.
std::string value_text(const Field& field, const RunConfig& config) {
    return std::visit(Print{field}, field.slot(const_cast<RunConfig&>(config)));  // only read
}

/// One table of a file: no key that doesn't exist, and each that does in the order of our table, so that a preset comes
/// first.
void read_table(RunConfig& config, const std::string& name, const toml::table& table, const std::string& where) {
    const auto at = [&](const toml::node& node) { return fmt::format("{}:{}", where, node.source().begin.line); };
    for (const auto& [key, node] : table) {
        const std::string full = fmt::format("{}.{}", name, key.str());
        if (std::ranges::find(fields(), full, &Field::key) == fields().end()) unknown_key(at(node), full);
    }
    for (const Field& field : fields())
        if (name == field.table)
            if (const toml::node* node = table.get(field.name)) assign(field, config, *node, at(*node));
}

}  // namespace

int64_t DataOptions::predictions() const {
    const auto share = std::llround(mask_probability * static_cast<double>(sequence));
    return max_predictions.value_or(std::max<int64_t>(1, share));
}

int64_t TrainOptions::warmup() const { return warmup_steps.value_or(std::min<int64_t>(steps / 10, 10'000)); }

RunConfig RunConfig::load(const std::string& path_or_preset) {
    if (fs::is_regular_file(path_or_preset)) return from_toml(read_text(path_or_preset), path_or_preset);
    RunConfig config;
    try {
        config.model = BertConfig::preset(path_or_preset);
    } catch (const Error& error) {
        throw Error("there is no file {}, and {}", path_or_preset, error.what());
    }
    return config;
}

RunConfig RunConfig::from_toml(const std::string& text, const std::string& where) {
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error& error) {
        throw Error("{}:{}: {}", where, error.source().begin.line, error.description());
    }
    RunConfig config;
    for (const auto& [key, node] : root) {
        const std::string name(key.str()), at = fmt::format("{}:{}", where, node.source().begin.line);
        if (!node.is_table()) unknown_key(at, name);
        const bool known = std::ranges::any_of(fields(), [&](const Field& field) { return name == field.table; });
        require(known, "{}: there is no table [{}]; the nearest is [{}]", at, name, nearest_table(name));
        read_table(config, name, *node.as_table(), where);
    }
    return config;
}

void RunConfig::set(const std::string& assignment) {
    const size_t equals = assignment.find('=');
    require(equals != std::string::npos, "--set: expected table.key=value, got {}", assignment);
    const std::string key = assignment.substr(0, equals), text = assignment.substr(equals + 1);
    const auto field = std::ranges::find(fields(), key, &Field::key);
    if (field == fields().end()) unknown_key("--set", key);
    toml::table parsed;  // {value = text}, or text as a string where it isn't TOML (bare words)
    try {
        parsed = toml::parse("value = " + text);
    } catch (const toml::parse_error&) {
        parsed.clear();
    }
    const Slot slot = field->slot(*this);
    const bool wants_text = std::holds_alternative<std::string*>(slot) || std::holds_alternative<Choice>(slot) ||
                            std::holds_alternative<Preset>(slot);
    if (parsed.size() != 1 || (wants_text && !parsed.get("value")->is_string())) parsed = toml::table{{"value", text}};
    assign(*field, *this, *parsed.get("value"), "--set");
}

void RunConfig::validate() const {
    const auto key = [&](const char* name) {  // with the place that it was given at
        const auto origin = origins.find(name);
        return origin == origins.end() ? std::string(name) : fmt::format("{} ({})", name, origin->second);
    };
    model.validate("model");
    require(data.sequence <= model.max_positions, "{} is {}: it must be at most {} = {}", key("data.sequence"),
            data.sequence, key("model.max_positions"), model.max_positions);
    require(data.predictions() <= data.sequence - 2,
            "{} is {}: it must be at most {} − 2 = {}, the positions that may be masked", key("data.max_predictions"),
            data.predictions(), key("data.sequence"), data.sequence - 2);
    require(train.micro_batch == 0 || train.batch % train.micro_batch == 0,
            "{} is {}: it must be a multiple of {} = {}", key("train.batch"), train.batch, key("train.micro_batch"),
            train.micro_batch);
    require(train.warmup() <= train.steps, "{} is {}: it must be at most {} = {}", key("train.warmup_steps"),
            train.warmup(), key("train.steps"), train.steps);
    require(train.end_lr <= train.lr, "{} is {}: it must be at most {} = {}", key("train.end_lr"), train.end_lr,
            key("train.lr"), train.lr);
}

std::string RunConfig::to_toml() const {
    std::string text, table;
    for (const Field& field : fields()) {
        const std::string value = value_text(field, *this);
        if (value.empty()) continue;
        if (table != field.table) text += fmt::format("{}[{}]\n", table.empty() ? "" : "\n", field.table);
        table = field.table;
        text += fmt::format("{} = {}\n", field.name, value);
    }
    return text;
}

std::string RunConfig::difference(const RunConfig& there) const {
    const auto same_path = [](const std::string& a, const std::string& b) {
        return !a.empty() && !b.empty() && fs::absolute(a).lexically_normal() == fs::absolute(b).lexically_normal();
    };
    for (const Field& field : fields()) {
        const std::string mine = value_text(field, *this), other = value_text(field, there);
        if (!field.defines_run || mine == other) continue;
        if (field.key() == "data.path" && same_path(data.path, there.data.path)) continue;
        return fmt::format("{} is {} there and {} here", field.key(), other, mine);
    }
    return {};
}

}  // namespace dropforge
