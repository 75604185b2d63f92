// What the files of tasks hold: examples, each with its texts and its label, in the order of the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/tasks/task.h"

namespace dropforge::tasks {

struct Answer {
    std::string text;
    int64_t start;  // the code point of the context at which it begins
};

struct Example {
    int64_t line = 0;                      // of the file, from 1: where it stands, token: its first word; span: 0
    std::vector<std::string> labels = {};  // as the file has them: one; token: one a word; span: none
    std::vector<int32_t> classes = {};     // the same as places in the task's list (index_labels); regression: none
    double value = 0;                      // regression: the label
    std::string a = {};                    // span: the question
    std::optional<std::string> b = {};     // span: the context
    std::vector<std::string> choices = {};
    std::vector<std::string> words = {};  // token
    std::string group = {};               // multirc: the question that the answer is one of
    std::string id = {};                  // span: of the question
    std::vector<Answer> answers = {};     // span: those that are right; none: the question has no answer
};

struct ExampleFile {
    std::string path;
    std::vector<Example> examples = {};
    int64_t skipped = 0;  // lines, or questions, that were left out

    /// FILE:LINE of an example (token: of one of its words), or FILE: ID of a question; for messages.
    std::string where(const Example& example, size_t word = 0) const;
};

struct ReadOptions {
    std::vector<std::string> columns = {};  // the label's and those of the texts, instead of the task's own
    bool skip_bad_lines = false;  // leave out lines with another number of columns, rather than refuse the file
    bool training = false;        // a question's first answer must stand at its place
};

/// Reads the file of a task; its name and the task say the format (docs/finetuning.md). UTF-8: a byte order mark is
/// dropped, as is CR before LF, and invalid bytes are U+FFFD. Throws Error with file and line for what does not fit.
ExampleFile read_examples(const Task& task, const fs::path& path, const ReadOptions& options = {});

/// `span` is squad if every question that is evaluated has an answer, else squad2; any other task is itself.
const Task& resolve(const Task& task, const ExampleFile& evaluated);

}  // namespace dropforge::tasks
