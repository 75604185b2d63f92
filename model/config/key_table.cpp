#include "model/config/key_table.h"

#include <toml++/toml.h>

#include <algorithm>

#include "base/error.h"
#include "model/config/key_names.h"
#include "model/config/values.h"

namespace dropforge::config {

namespace {

using Fields = std::vector<Field>;

Fields::const_iterator field_of(const Fields& fields, const std::string& key) {
    return std::ranges::find(fields, key, &Field::key);
}

[[noreturn]] void unknown_key(const Fields& fields, const std::string& where, const std::string& key) {
    throw Error("{}: there is no key {}; the nearest is {}", where, key, nearest_key(fields, key));
}

void assign(const Field& field, Origins& origins, const toml::node& node, const std::string& where) {
    assign(field, node, where);
    origins[field.key()] = where;
}

/// One table of a file: no key that doesn't exist, and each that does in the order of our table, so that a preset comes
/// first.
void read_table(const Fields& fields, Origins& origins, const std::string& name, const toml::table& table,
                const std::string& where) {
    const auto at = [&](const toml::node& node) { return fmt::format("{}:{}", where, node.source().begin.line); };
    for (const auto& [key, node] : table) {
        const std::string full = fmt::format("{}.{}", name, key.str());
        if (field_of(fields, full) == fields.end()) unknown_key(fields, at(node), full);
    }
    for (const Field& field : fields)
        if (name == field.table)
            if (const toml::node* node = table.get(field.name)) assign(field, origins, *node, at(*node));
}

}  // namespace

void read_toml(const Fields& fields, Origins& origins, const std::string& text, const std::string& where) {
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error& error) {
        throw Error("{}:{}: {}", where, error.source().begin.line, error.description());
    }
    for (const auto& [key, node] : root) {
        const std::string name(key.str()), at = fmt::format("{}:{}", where, node.source().begin.line);
        if (!node.is_table()) unknown_key(fields, at, name);
        const bool known = std::ranges::any_of(fields, [&](const Field& field) { return name == field.table; });
        require(known, "{}: there is no table [{}]; the nearest is [{}]", at, name, nearest_table(fields, name));
        read_table(fields, origins, name, *node.as_table(), where);
    }
}

void apply(const Fields& fields, Origins& origins, const std::vector<Setting>& settings) {
    std::vector<std::pair<Fields::const_iterator, const Setting*>> order;
    for (const Setting& setting : settings) {
        const auto field = field_of(fields, setting.key);
        if (field == fields.end()) unknown_key(fields, setting.where, setting.key);
        order.emplace_back(field, &setting);
    }
    std::ranges::stable_sort(order, {}, [](const auto& pair) { return pair.first; });
    for (const auto& [field, setting] : order) {
        const toml::table parsed = parse_value(*field, setting->value);
        assign(*field, origins, *parsed.get("value"), setting->where);
    }
}

std::string to_toml(const Fields& fields) {
    std::string text, table;
    for (const Field& field : fields) {
        const std::string value = value_text(field);
        if (value.empty()) continue;
        if (table != field.table) text += fmt::format("{}[{}]\n", table.empty() ? "" : "\n", field.table);
        table = field.table;
        text += fmt::format("{} = {}\n", field.name, value);
    }
    return text;
}

std::string difference(const Fields& here, const Fields& there) {
    for (size_t i = 0; i < here.size(); ++i) {
        const Field &field = here[i], &other = there[i];
        const std::string own_value = value_text(field), other_value = value_text(other);
        if (!field.defines_run || !field.is_read || own_value == other_value) continue;
        if (field.kept_on_resume && is_automatic(other)) continue;  // a record without the value it resolved to
        const auto shown = [](const std::string& value) { return value.empty() ? "not set" : value; };
        return fmt::format("{} is {} there and {} here", field.key(), shown(other_value), shown(own_value));
    }
    return {};
}

}  // namespace dropforge::config
