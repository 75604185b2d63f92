#include "model/config/config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/installation.h"
#include "model/config/fields.h"
#include "model/config/key_names.h"
#include "model/config/values.h"

namespace dropforge {

namespace {

using namespace config;

[[noreturn]] void unknown_key(const std::string& where, const std::string& key) {
    throw Error("{}: there is no key {}; the nearest is {}", where, key, nearest_key(key));
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

// ---- Configurations that came with this program.

fs::path shared_configs() { return shared_folder() / "configs"; }

std::set<std::string> shared_names() {
    std::set<std::string> names;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(shared_configs(), none)) {
        const std::string name = entry.path().stem().string();
        if (entry.path().extension() == ".toml" && !BertConfig::is_preset(name)) names.insert(name);
    }
    return names;
}

}  // namespace

int64_t DataOptions::predictions() const {
    const auto share = std::llround(mask_probability * static_cast<double>(sequence));
    return max_predictions.value_or(std::max<int64_t>(1, share));
}

int64_t TrainOptions::warmup() const { return warmup_steps.value_or(std::min<int64_t>(steps / 10, 10'000)); }

fs::path RunConfig::file_of(const std::string& what) {
    fs::path path = what;
    std::error_code error;
    if (fs::is_regular_file(path, error)) return path;
    const bool is_name = !path.has_parent_path() || path.parent_path() == "configs";
    if (!is_name || BertConfig::is_preset(what)) return {};
    fs::path file = shared_configs() / path.filename();
    if (file.extension() != ".toml") file += ".toml";
    return fs::is_regular_file(file, error) ? file : fs::path();
}

RunConfig RunConfig::load(const std::string& what) {
    const fs::path file = file_of(what);
    if (!file.empty()) return from_toml(read_text(file), file.string());
    RunConfig config;
    try {
        config.model = BertConfig::preset(what);
    } catch (const Error& error) {
        throw Error("there is no file {}, and {}; and the configurations {}", what, error.what(),
                    fmt::join(shared_names(), ", "));
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

Setting Setting::parse(const std::string& assignment) {
    const size_t equals = assignment.find('=');
    require(equals != std::string::npos, "--set: expected table.key=value, got {}", assignment);
    return {.key = assignment.substr(0, equals), .value = assignment.substr(equals + 1)};
}

void RunConfig::set(const std::vector<Setting>& settings) {
    std::vector<std::pair<std::vector<Field>::const_iterator, const Setting*>> order;
    for (const Setting& setting : settings) {
        const auto field = std::ranges::find(fields(), setting.key, &Field::key);
        if (field == fields().end()) unknown_key(setting.where, setting.key);
        order.emplace_back(field, &setting);
    }
    std::ranges::stable_sort(order, {}, [](const auto& pair) { return pair.first; });
    RunConfig changed = *this;  // so that a bad value changes nothing
    for (const auto& [field, setting] : order) {
        const toml::table parsed = parse_value(*field, changed, setting->value);
        assign(*field, changed, *parsed.get("value"), setting->where);
    }
    *this = std::move(changed);
}

void RunConfig::go_on_from(const RunConfig& record, const std::string& where) {
    for (const Field& field : fields())
        if (field.kept_on_resume && take_derived(field, *this, record)) {
            origins[field.key()] = where;
            kept.insert(field.key());
        }
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

std::string RunConfig::difference(const RunConfig& other) const {
    for (const Field& field : fields()) {
        const std::string own_value = value_text(field, *this), other_value = value_text(field, other);
        if (!field.defines(method_entry(train.method)) || own_value == other_value) continue;
        if (field.kept_on_resume && is_automatic(field, other)) continue;  // a record without the value it resolved to
        return fmt::format("{} is {} there and {} here", field.key(), other_value, own_value);
    }
    return {};
}

}  // namespace dropforge
