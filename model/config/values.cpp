#include "model/config/values.h"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <type_traits>
#include <variant>

#include "base/error.h"
#include "data/text/text_reader.h"

namespace dropforge::config {

namespace {

/// The shortest decimal that reads back as the same number, with a point or an exponent as TOML wants it of a float;
/// inf and nan have neither.
template <typename Float>
std::string decimal(Float value) {
    std::string text = fmt::format("{}", value);
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return text;
}

std::string describe(const toml::node& node) {
    std::ostringstream text;
    if (node.is_floating_point()) {
        text << decimal(node.as_floating_point()->get());
    } else if (node.is_string()) {
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
    void operator()(const Derived<int64_t>& slot) const { *slot.given = integer(); }
    void operator()(double* slot) const { *slot = number(); }
    void operator()(const Derived<double>& slot) const { *slot.given = number(); }
    void operator()(std::vector<double>* slot) const {
        const std::string expected = "numbers " + field_.range.text();
        if (!node_.is_array()) fail(expected);
        std::vector<double> values;
        for (const toml::node& element : *node_.as_array()) {
            values.push_back(element.is_number() ? *element.value<double>() : std::nan(""));
            if (!field_.range.holds(values.back())) fail(expected, element);
        }
        *slot = std::move(values);
    }
    void operator()(float* slot) const {
        const auto value = static_cast<float>(number());
        if (!field_.range.holds(value)) fail("a number " + field_.range.text() + " in single precision");
        *slot = value;
    }
    void operator()(std::optional<float>* slot) const {
        float value = 0;
        (*this)(&value);
        *slot = value;
    }
    void operator()(bool* slot) const {
        if (!node_.is_boolean()) fail("true or false");
        *slot = node_.as_boolean()->get();
    }
    void operator()(std::string* slot) const { *slot = text("a string"); }
    void operator()(CountOrShare* slot) const {  // the range is that of a count
        const double value = node_.is_number() ? *node_.value<double>() : -1;
        const bool is_share = node_.is_floating_point();
        if (is_share ? !(value > 0 && value <= 1) : !field_.range.holds(value))
            fail("a share, a float in (0, 1], or a count, an integer " + field_.range.text());
        *slot = {value, is_share};
    }
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
    [[noreturn]] void fail(const std::string& expected, const toml::node& node) const {
        throw Error("{}: {}: expected {}, got {}", where_, field_.key(), expected, describe(node));
    }
    [[noreturn]] void fail(const std::string& expected) const { fail(expected, node_); }
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

struct Print {
    const Field& field;

    std::string operator()(const int64_t* slot) const { return std::to_string(*slot); }
    std::string operator()(const Derived<int64_t>& slot) const { return std::to_string(slot.value); }
    std::string operator()(const double* slot) const { return decimal(*slot); }
    std::string operator()(const Derived<double>& slot) const { return decimal(slot.value); }
    std::string operator()(const std::vector<double>* slot) const {
        std::string text;
        for (const double value : *slot) text += (text.empty() ? "" : ", ") + decimal(value);
        return "[" + text + "]";
    }
    std::string operator()(const float* slot) const { return decimal(*slot); }
    std::string operator()(const std::optional<float>* slot) const { return *slot ? decimal(**slot) : ""; }
    std::string operator()(const bool* slot) const { return *slot ? "true" : "false"; }
    std::string operator()(const std::string* slot) const {
        std::string value = *slot;
        data::replace_invalid_utf8(value);  // a path may be any bytes, TOML is UTF-8
        std::ostringstream text;
        text << toml::value<std::string>(value);
        return text.str();
    }
    std::string operator()(const CountOrShare* slot) const { return slot->text(); }
    std::string operator()(const Choice& slot) const { return fmt::format("\"{}\"", field.choices[slot.value]); }
    std::string operator()(const Preset&) const { return {}; }
};

}  // namespace

toml::table parse_value(const Field& field, const std::string& text) {
    const Slot& slot = field.slot;
    const bool wants_numbers = std::holds_alternative<std::vector<double>*>(slot) && !text.starts_with('[');
    toml::table parsed;
    try {
        parsed = toml::parse(wants_numbers ? "value = [" + text + "]" : "value = " + text);
    } catch (const toml::parse_error&) {
        parsed.clear();
    }
    const bool wants_text = std::holds_alternative<std::string*>(slot) || std::holds_alternative<Choice>(slot) ||
                            std::holds_alternative<Preset>(slot);
    if (parsed.size() != 1 || (wants_text && !parsed.get("value")->is_string())) parsed = toml::table{{"value", text}};
    return parsed;
}

void assign(const Field& field, const toml::node& node, const std::string& where) {
    std::visit(Assign(field, node, where), field.slot);
    if (field.after) field.after();
}

bool is_automatic(const Field& field) {
    if (const Choice* choice = std::get_if<Choice>(&field.slot)) return choice->value == 0;
    int64_t* const* number = std::get_if<int64_t*>(&field.slot);
    return number != nullptr && **number == 0;
}

bool take_derived(const Field& field, const Field& source) {
    const auto take = [&](const auto& to) {
        using To = std::decay_t<decltype(to)>;
        if constexpr (std::is_same_v<To, Derived<int64_t>> || std::is_same_v<To, Derived<double>>) {
            if (to.given->has_value()) return false;
            *to.given = std::get<To>(source.slot).value;
            return true;
        } else if (is_automatic(field) && !is_automatic(source)) {
            if constexpr (std::is_same_v<To, Choice>) to.assign(std::get<To>(source.slot).value);
            if constexpr (std::is_same_v<To, int64_t*>) *to = *std::get<To>(source.slot);
            return true;
        }
        return false;
    };
    return std::visit(take, field.slot);
}

std::string value_text(const Field& field) { return std::visit(Print{field}, field.slot); }

}  // namespace dropforge::config
