// Files of tasks, and predictions for them. The first byte says which task, and whether tables are JSON lines; the next
// byte 0 ends the evaluated file, and the predictions follow.
#include <cmath>

#include "data/tasks/labels.h"
#include "data/tasks/lines.h"
#include "data/tasks/metrics/predictions.h"
#include "data/tasks/sequences/sequences.h"
#include "data/tasks/unlabelled.h"
#include "tests/fuzz/fuzzing.h"

using namespace dropforge;
using namespace dropforge::tasks;
using fuzzing::hold;

namespace {

constexpr int64_t kLength = 16;

const data::Vocabulary& vocabulary() {
    static const data::Vocabulary vocabulary(
        {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", ".", "the"});
    return vocabulary;
}

void hold_examples(const Task& task, const ExampleFile& file) {
    hold(!file.examples.empty(), "there are examples");
    for (const Example& example : file.examples) {
        const size_t labels = task.kind == Kind::span ? 0 : task.kind == Kind::token ? example.words.size() : 1;
        hold(example.labels.size() == labels, "there is a label for each text or word");
        hold(task.kind != Kind::choice || example.choices.size() == file.examples[0].choices.size(),
             "choices are as many");
    }
}

void hold_sequences(const Task& task, const ExampleFile& file) {
    const SequenceOptions options{.max_length = kLength, .doc_stride = 4, .max_question = 4};
    const Items items = make_items(task, file, vocabulary(), data::kUncased, options);
    for (const Item& item : items.items) {
        const auto length = static_cast<int32_t>(item.length());
        hold(length <= kLength, "sequences are no longer than they may be");
        hold(item.start < length && item.end < length && item.start >= 0 && item.end >= 0,
             "answers are in the sequence");
        for (const int32_t position : item.positions) hold(position > 0 && position < length - 1, "labels are too");
    }
}

/// The same file as one without labels.
void hold_unlabelled(const Task& task, const fs::path& path) {
    const ExampleFile file = read_unlabelled(task.kind, path);
    for (const Example& example : file.examples) {
        hold(example.labels.empty(), "there are no labels");
        hold(task.kind != Kind::choice || example.choices.size() >= 2, "there is a choice");
        hold(example.choices.size() == file.examples[0].choices.size(), "choices are as many");
        hold(example.b.has_value() == file.examples[0].b.has_value(), "texts are as many");
        for (const std::string& word : example.words)
            hold(!word.empty() && stripped(word) == word, "words have no white space");
    }
    hold_sequences(task, file);
}

void hold_metrics(const Task& task, ExampleFile file, const fs::path& path) {
    ExampleFile predicted = read_predictions(task, path, file);
    const std::vector<std::string> labels = has_own_labels(task) ? labels_in({&file, &predicted}) : task.labels;
    index_labels(task, labels, file);
    index_labels(task, labels, predicted);
    for (const auto& [name, value] : measure(task, labels, file.examples, predictions_of(task, std::move(predicted))))
        hold(!value || name == "mse" || std::abs(*value) <= 1, "metrics are fractions");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    const Task& task = all_tasks()[(data[0] & 127U) % all_tasks().size()];
    const std::string ending = data[0] >= 128 ? ".jsonl" : ".tsv";
    const std::string_view text = fuzzing::text_of(data + 1, size - 1);
    const size_t cut = std::min(text.find('\0'), text.size());
    const fs::path evaluated = fuzzing::write("eval" + ending, text.substr(0, cut)),
                   predictions = fuzzing::write("predictions", text.substr(std::min(cut + 1, text.size())));
    fuzzing::write("eval_passages.tsv", "passage_id\tpassage\n0\ta b\n1\tthe\n");
    fuzzing::taken([&] {
        const ExampleFile file = read_examples(task, evaluated);
        hold_examples(task, file);
        fuzzing::taken([&] { hold_sequences(task, file); });
        hold_metrics(resolve(task, file), file, predictions);
    });
    fuzzing::taken([&] { hold_unlabelled(task, evaluated); });
    return 0;
}
