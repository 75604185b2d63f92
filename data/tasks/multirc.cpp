#include <map>
#include <tuple>

#include "base/error.h"
#include "base/json_object.h"
#include "data/tasks/formats.h"
#include "data/tasks/table.h"

namespace dropforge::tasks {

namespace {

using Json = nlohmann::json;

std::string group_of(const std::string& passage, const std::string& question) { return passage + '\t' + question; }
std::string with_answer(const std::string& question, const std::string& answer) { return question + ' ' + answer; }

const Json& member(const Json& object, const char* key, bool (Json::*is)() const noexcept, const char* expected,
                   const std::string& where) {
    const auto found = object.find(key);
    require(found != object.end() && ((*found).*is)(), "{}: expected {} {}", where, expected, key);
    return *found;
}

/// The answers of one passage.
void add_passage(const Json& row, int64_t line, const std::string& where, std::vector<Example>& examples) {
    const auto list = [&](const Json& object, const char* key) -> const Json& {
        return member(object, key, &Json::is_array, "a list", where);
    };
    const Json& passage = member(row, "passage", &Json::is_object, "an object", where);
    for (const Json& question : list(passage, "questions")) {
        require(question.is_object(), "{}: a question is {}", where, JsonObject::shown(question));
        for (const Json& answer : list(question, "answers")) {
            require(answer.is_object(), "{}: an answer is {}", where, JsonObject::shown(answer));
            examples.push_back({.line = line,
                                .labels = {std::string(stripped(text_in(answer, "label", where)))},
                                .a = text_in(passage, "text", where),
                                .b = with_answer(text_in(question, "question", where), text_in(answer, "text", where)),
                                .group = group_of(text_in(row, "idx", where), text_in(question, "idx", where))});
        }
    }
}

/// The rows of a TSV whose header has the columns.
Table read_rows(const fs::path& path, const std::vector<std::vector<std::string>>& columns, bool skip_bad_lines) {
    const auto choose = [&](const std::vector<std::string>& first, const std::string& where) {
        return columns_of_header(columns, first, where);
    };
    return read_tsv(path, choose, skip_bad_lines);
}

ExampleFile read_rows(const Task& task, const fs::path& path, bool skip_bad_lines) {
    const Table table = read_rows(path, task.columns, skip_bad_lines);
    fs::path passages_path = path;
    passages_path.replace_filename(path.stem().string() + "_passages" + path.extension().string());
    std::map<std::string, std::string> passages;  // by their ids
    for (const Row& row : read_rows(passages_path, {{"passage_id"}, {"passage"}}, false).rows)
        passages[row.values[0]] = row.values[1];
    ExampleFile file{.path = table.path, .skipped = table.skipped};
    for (const Row& row : table.rows) {
        const auto& [label, passage, question, text, answer] =
            std::tie(row.values[0], row.values[1], row.values[2], row.values[3], row.values[4]);
        const auto found = passages.find(passage);
        require(found != passages.end(), "{}:{}: no passage {} in {}", file.path, row.line, passage,
                passages_path.string());
        file.examples.push_back({.line = row.line,
                                 .labels = {std::string(stripped(label))},
                                 .a = found->second,
                                 .b = with_answer(text, answer),
                                 .group = group_of(passage, question)});
    }
    return file;
}

}  // namespace

ExampleFile read_multirc(const Task& task, const fs::path& path, bool skip_bad_lines) {
    if (!is_json_lines(path)) return read_rows(task, path, skip_bad_lines);
    ExampleFile file{.path = path.string()};
    for_each_object(path, [&](const std::string& where, int64_t line, const Json& object, const auto&) {
        add_passage(object, line, where, file.examples);
    });
    return file;
}

}  // namespace dropforge::tasks
