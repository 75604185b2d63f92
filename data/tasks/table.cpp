#include "data/tasks/table.h"

#include "base/error.h"
#include "base/json.h"
#include "base/json_object.h"

namespace dropforge::tasks {

namespace {

using Json = nlohmann::json;

}  // namespace

std::vector<std::string> fields_of(std::string_view line) {
    std::vector<std::string> fields;
    for (size_t begin = 0; begin <= line.size();) {
        const size_t end = std::min(line.find('\t', begin), line.size());
        fields.emplace_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    return fields;
}

bool is_json_lines(const fs::path& path) { return path.extension() == ".jsonl"; }

Table read_tsv(const fs::path& path, const Choose& choose, bool skip_bad_lines) {
    Table table{.path = path.string()};
    size_t width = 0;  // of the first line
    const std::string text = read_valid_text(path);
    for_each_line(text, [&](int64_t number, std::string_view line) {
        if (line.empty()) return;
        std::vector<std::string> fields = fields_of(line);
        const bool first = width == 0;
        if (first) {
            width = fields.size();
            table.columns = choose(fields, fmt::format("{}:{}", table.path, number));
            if (table.columns.header) return;
        }
        if (fields.size() != width) {
            require(skip_bad_lines, "{}:{}: {} columns, expected {} as in the first line", table.path, number,
                    fields.size(), width);
            ++table.skipped;
            return;
        }
        Row row{number, {}};
        for (const size_t place : table.columns.places) row.values.push_back(fields[place]);
        table.rows.push_back(std::move(row));
    });
    require(width > 0, "{}: empty", table.path);
    return table;
}

Table read_json_table(const fs::path& path, const Choose& choose) {
    Table table{.path = path.string()};
    std::vector<std::string> names;
    for_each_object(
        path, [&](const std::string& where, int64_t line, const Json& object, const std::vector<std::string>& keys) {
            if (table.rows.empty()) {
                table.columns = choose(keys, where);
                for (const size_t place : table.columns.places) names.push_back(keys[place]);
            }
            const std::string& unwanted = table.columns.must_not_have;
            require(unwanted.empty() || !object.contains(unwanted), "{}: a key {}, which the first line does not have",
                    where, unwanted);
            Row row{line, {}};
            for (const std::string& name : names) row.values.push_back(text_in(object, name, where));
            table.rows.push_back(std::move(row));
        });
    return table;
}

void for_each_object(
    const fs::path& path,
    const std::function<void(const std::string&, int64_t, const Json&, const std::vector<std::string>&)>& take) {
    const std::string text = read_valid_text(path);
    bool any = false;
    for_each_line(text, [&](int64_t number, std::string_view line) {
        if (line.empty()) return;
        any = true;
        const std::string where = fmt::format("{}:{}", path.string(), number);
        std::vector<std::string> keys;
        const Json object = parse_json(std::string(line), where, &keys);
        require(object.is_object(), "{}: not a JSON object", where);
        take(where, number, object, keys);
    });
    require(any, "{}: empty", path.string());
}

std::string text_in(const Json& object, const std::string& key, const std::string& where) {
    const auto found = object.find(key);
    require(found != object.end(), "{}: no key {}", where, key);
    if (found->is_string()) return found->get<std::string>();
    if (found->is_boolean()) return found->get<bool>() ? "1" : "0";
    require(found->is_number(), "{}: {} is {}, expected text, a number, true or false", where, key,
            JsonObject::shown(*found));
    return found->dump();
}

}  // namespace dropforge::tasks
