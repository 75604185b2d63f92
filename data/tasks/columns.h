// Which columns of a file are a task's label and texts.
#pragma once

#include <string>
#include <vector>

#include "data/tasks/task.h"

namespace dropforge::tasks {

/// Places among the fields of a file's first line: of the label, then of the texts; of choices: label, premise, the
/// question if there is one, the choices.
struct Columns {
    std::vector<size_t> places = {};
    bool header = true;              // the first line has names, not values
    bool question = false;           // of choices: whether there is one
    std::string must_not_have = {};  // a name that no object of JSON lines may have: choice N + 1
};

/// Whether an example of a kind has so many texts: single, pair or regression.
bool takes_texts(Kind kind, size_t count);

/// `first`: the fields of the first line, or the keys of the first JSON object, which are names in any case; `given`:
/// the names of --columns. Throws Error, which begins with `where`, if they do not fit the task.
Columns choose_columns(const Task& task, const std::vector<std::string>& given, const std::vector<std::string>& first,
                       bool is_json, const std::string& where);

/// Looks for columns, each under the names that it may have, in a first line that must be a header with all of them.
/// Throws Error, which begins with `where`, if one is missing.
Columns columns_of_header(const std::vector<std::vector<std::string>>& wanted, const std::vector<std::string>& first,
                          const std::string& where);

}  // namespace dropforge::tasks
