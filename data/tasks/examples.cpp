#include "data/tasks/examples.h"

#include "base/error.h"
#include "data/tasks/formats.h"
#include "data/tasks/table.h"

namespace dropforge::tasks {

namespace {

/// COPA's two kinds of question are written as words; any other text is taken as it is.
std::string question_of(const std::string& text) {
    if (text == "cause") return "What was the cause of this?";
    if (text == "effect") return "What happened as a result?";
    return text;
}

Example choice_example(Row& row, const Columns& columns) {
    std::vector<std::string>& values = row.values;
    Example example{.line = row.line, .labels = {std::string(stripped(values[0]))}, .a = std::move(values[1])};
    size_t at = 2;
    if (columns.question) {
        const std::string question = question_of(values[at++]);
        if (!example.a.empty() && !question.empty()) example.a += ' ';
        example.a += question;
    }
    for (; at < values.size(); ++at) example.choices.push_back(std::move(values[at]));
    return example;
}

Example text_example(const Task& task, Row& row) {
    std::vector<std::string>& values = row.values;
    Example example{.line = row.line, .labels = {std::string(stripped(values[0]))}, .a = std::move(values[1])};
    size_t at = 2;
    if (task.form == Form::word_and_texts) example.a += ": " + values[at++];
    if (at < values.size()) example.b = std::move(values[at]);
    return example;
}

/// The columns that a user names are as many as the task has.
void check_given(const Task& task, const std::vector<std::string>& given) {
    if (given.empty()) return;
    require(task.form == Form::texts || task.form == Form::word_and_texts, "--columns: the columns of {} are fixed",
            task.name);
    const size_t texts = given.size() - 1;
    const bool right = task.form == Form::word_and_texts ? texts == 3 : takes_texts(task.kind, texts);
    require(right, "--columns names {} columns, expected {}", given.size(),
            task.form == Form::word_and_texts ? "LABEL,WORD,TEXT,TEXT"
            : task.kind == Kind::regression   ? "LABEL,TEXT or LABEL,TEXT,TEXT"
            : task.kind == Kind::single       ? "LABEL,TEXT"
                                              : "LABEL,TEXT,TEXT");
}

ExampleFile read_table(const Task& task, const fs::path& path, const ReadOptions& options) {
    const bool is_json = is_json_lines(path);
    const Choose choose = [&](const std::vector<std::string>& first, const std::string& where) {
        return choose_columns(task, options.columns, first, is_json, where);
    };
    Table table = is_json ? read_json_table(path, choose) : read_tsv(path, choose, options.skip_bad_lines);
    ExampleFile file{.path = table.path, .skipped = table.skipped};
    for (Row& row : table.rows) {
        Example example = task.form == Form::choices ? choice_example(row, table.columns) : text_example(task, row);
        if (!task.left_out.empty() && example.labels[0] == task.left_out) {
            ++file.skipped;
        } else {
            file.examples.push_back(std::move(example));
        }
    }
    return file;
}

ExampleFile read(const Task& task, const fs::path& path, const ReadOptions& options) {
    switch (task.form) {
        case Form::passages:
            return read_multirc(task, path, options.skip_bad_lines);
        case Form::words:
            return read_conll(path);
        case Form::questions:
            return read_squad(path, options);
        default:
            return read_table(task, path, options);
    }
}

}  // namespace

std::string ExampleFile::where(const Example& example, size_t word) const {
    if (example.line == 0) return fmt::format("{}: {}", path, example.id);
    return fmt::format("{}:{}", path, example.line + static_cast<int64_t>(word));
}

ExampleFile read_examples(const Task& task, const fs::path& path, const ReadOptions& options) {
    check_given(task, options.columns);
    ExampleFile file = read(task, path, options);
    require(!file.examples.empty(), "{}: no examples{}", file.path,
            file.skipped > 0 ? fmt::format("; {} were left out", file.skipped) : "");
    return file;
}

const Task& resolve(const Task& task, const ExampleFile& evaluated) {
    if (task.name != "span") return task;
    for (const Example& question : evaluated.examples)
        if (question.answers.empty()) return find_task("squad2");
    return find_task("squad");
}

}  // namespace dropforge::tasks
