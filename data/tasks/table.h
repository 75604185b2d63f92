// Tables of text: tab-separated values, and JSON objects, one a line.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "data/tasks/columns.h"
#include "data/tasks/lines.h"

namespace dropforge::tasks {

struct Row {
    int64_t line;
    std::vector<std::string> values;  // of the columns that were chosen, in their order
};

struct Table {
    std::string path;
    Columns columns = {};
    std::vector<Row> rows = {};
    int64_t skipped = 0;
};

/// What choose_columns says of a first line: its fields, and where it stands.
using Choose = std::function<Columns(const std::vector<std::string>& first, const std::string& where)>;

/// The fields of a line, between tabs.
std::vector<std::string> fields_of(std::string_view line);

bool is_json_lines(const fs::path& path);

/// Fields between tabs, without quotes or escapes; empty lines are skipped. A line with another number of fields than
/// the first is left out if `skip_bad_lines`, else an Error.
Table read_tsv(const fs::path& path, const Choose& choose, bool skip_bad_lines);

/// The keys of the first object are the columns; the others must have those that were chosen.
Table read_json_table(const fs::path& path, const Choose& choose);

/// Calls take(where, line, object, its keys in their order) for each line that is not empty; Error if there is none, or
/// one is no JSON object.
void for_each_object(const fs::path& path,
                     const std::function<void(const std::string& where, int64_t line, const nlohmann::json& object,
                                              const std::vector<std::string>& keys)>& take);

/// The value of a key as text: a string as it is, true and false as 1 and 0, numbers in digits. Throws Error, which
/// begins with `where`, for other values and a key that is missing.
std::string text_in(const nlohmann::json& object, const std::string& key, const std::string& where);

}  // namespace dropforge::tasks
