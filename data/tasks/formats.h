// Readers of the formats that are no tables of label and texts.
#pragma once

#include "data/tasks/examples.h"

namespace dropforge::tasks {

/// MultiRC: answers to questions about passages. JSON lines, a passage each; or a TSV of answers with X_passages.tsv
/// beside X.tsv.
ExampleFile read_multirc(const Task& task, const fs::path& path, bool skip_bad_lines);

/// CoNLL's columns between spaces or tabs: the word first, the label last; a blank line ends a sentence.
ExampleFile read_conll(const fs::path& path);

/// SQuAD 1.1 or 2.0. What of it is for training, ReadOptions says.
ExampleFile read_squad(const fs::path& path, const ReadOptions& options);

}  // namespace dropforge::tasks
