// From text to what a model reads: sequences of token ids with their types, and where the labels stand in them.
#pragma once

#include <cstdint>
#include <vector>

#include "data/tasks/examples.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::tasks {

/// [CLS] a [SEP], or [CLS] a [SEP] b [SEP]; no padding.
struct Sequence {
    std::vector<int32_t> ids;
    size_t second;  // the position at which b begins; ids.size() without b

    int32_t token_type(size_t position) const { return position < second ? 0 : 1; }
};

/// What a batch counts: an example; of choice a question with all its sequences; of span one window of the context.
struct Item {
    size_t example;                   // its place in the file; classes and values of whole texts stand there
    std::vector<Sequence> sequences;  // one; choice: one for each
    // token: the words that have a piece, and the positions of their first pieces
    std::vector<int32_t> words = {}, positions = {};
    // span: where the pieces of the context begin, and the part of the context that each stands for
    int32_t context = 0;
    std::vector<data::Place> places = {};
    int32_t start = 0, end = 0;  // span: positions of the first answer's first and last piece; 0, [CLS]: not here

    /// Pieces of the longest sequence.
    size_t length() const;
};

struct Items {
    std::vector<Item> items;  // in the order of the file, the windows of a question one after the other
    int64_t truncated = 0;    // examples that were cut; span: questions whose question was
};

struct SequenceOptions {
    int64_t max_length;  // pieces of a sequence; the task's length, or less where the model has fewer positions
    int64_t doc_stride = 128, max_question = 64;  // span: pieces that two windows share, and of the question
};

/// The items of a file. Special tokens are recognised in no text. Throws Error if max_length has no room for a piece of
/// each text, or if windows would not advance.
Items make_items(const Task& task, const ExampleFile& file, const data::Vocabulary& vocabulary,
                 const data::Normalization& normalization, const SequenceOptions& options);

}  // namespace dropforge::tasks
