// The tasks that a checkpoint is fine-tuned and measured on: what their files have, and how their predictions are
// scored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dropforge::tasks {

enum class Kind {
    single,      // one text, one of C labels
    pair,        // two texts, one of C labels
    regression,  // one or two texts, a number
    choice,      // a text and N others, one of which goes with it
    token,       // words, a label each
    span,        // a question and a context; the answer is a part of the context, or there is none
};

/// How the columns after the label become texts.
enum class Form {
    texts,           // as they are
    word_and_texts,  // word, sentence, sentence: the word stands before the first sentence
    passages,        // MultiRC: a question and an answer, and the passage that they are about
    choices,         // premise, question, the choices
    words,           // CoNLL's columns
    questions,       // SQuAD's JSON
};

struct Task {
    std::string name;
    Kind kind;
    Form form = Form::texts;
    /// The label's column and those of the texts, each with the names that it may have. Empty: the user's own file.
    std::vector<std::vector<std::string>> columns = {};
    std::vector<std::string> labels = {};   // in the order of the logits; empty: those of the file, or none
    std::vector<std::string> metrics = {};  // of single, pair and choice, in the order in which they are reported
    std::vector<std::string> main = {};     // their mean chooses the best epoch
    int64_t length = 128;                   // pieces of a sequence, with [CLS] and [SEP]
    std::string left_out = {};              // the label of lines that are left out; empty: there is none
    /// Of a file without a header, where they are not the label and the texts.
    std::vector<std::string> bare_columns = {};
};

/// In the order in which help and documentation have them.
const std::vector<Task>& all_tasks();

/// Throws Error, with the nearest name, if there is none of that name.
const Task& find_task(const std::string& name);

}  // namespace dropforge::tasks
