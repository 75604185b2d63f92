#include "finetune/evaluation/evaluation_files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "engine/safetensors.h"

namespace dropforge {

namespace {

using tasks::Example;
using tasks::Kind;

std::string tsv_text(const std::vector<std::string>& predictions) {
    std::string text = "index\tprediction\n";
    for (size_t i = 0; i < predictions.size(); ++i) text += fmt::format("{}\t{}\n", i, predictions[i]);
    return text;
}

std::string conll_text(const TaskData& data, const std::vector<std::vector<int32_t>>& tags) {
    const auto label = [&](int32_t place) -> const std::string& { return data.labels[static_cast<size_t>(place)]; };
    std::string text;
    for (size_t s = 0; s < tags.size(); ++s) {
        const Example& sentence = data.file.examples[s];
        for (size_t w = 0; w < tags[s].size(); ++w)
            text += fmt::format("{} {} {}\n", sentence.words[w], label(sentence.classes[w]), label(tags[s][w]));
        text += "\n";
    }
    return text;
}

/// An object of the questions' ids, in the order of the file, a line each.
template <typename Value>
std::string by_question(const TaskData& data, const std::vector<Value>& values) {
    std::string text;
    for (size_t i = 0; i < values.size(); ++i)
        text += fmt::format("{}\n {}: {}", text.empty() ? "{" : ",", json_text(data.file.examples[i].id),
                            json_text(values[i]));
    return text + "\n}\n";
}

}  // namespace

std::vector<std::string> prediction_names(const TaskData& data, const tasks::Predictions& predictions) {
    std::vector<std::string> names;
    for (const double value : predictions.values) names.push_back(fmt::format("{}", value));
    for (const int32_t chosen : predictions.classes)
        names.push_back(data.task.kind == Kind::choice ? std::to_string(chosen)
                                                       : data.labels[static_cast<size_t>(chosen)]);
    return names;
}

std::string answers_json(const TaskData& data, const std::vector<std::string>& answers) {
    return by_question(data, answers);
}

void write_predictions(const fs::path& folder, const TaskData& data, const TaskEvaluation& evaluation) {
    const tasks::Predictions& predictions = evaluation.predictions;
    if (data.task.kind == Kind::token) {
        write_text(folder / "predictions.conll", conll_text(data, predictions.tags));
    } else if (data.task.kind == Kind::span) {
        write_text(folder / "predictions.json", answers_json(data, predictions.answers));
    } else {
        write_text(folder / "predictions.tsv", tsv_text(prediction_names(data, predictions)));
    }
    if (!evaluation.null) return;
    write_text(folder / "answers.json", answers_json(data, evaluation.best_answers));
    write_text(folder / "null_odds.json", by_question(data, evaluation.null->odds));
}

void write_logits(const fs::path& path, const TaskData& data, const TaskLogits& logits) {
    std::vector<int32_t> ids, types, lengths;
    int64_t rows = 0;
    for (const tasks::Item& item : data.items.items) {
        rows += data.task.kind == Kind::token ? static_cast<int64_t>(item.words.size()) : 1;
        for (const tasks::Sequence& sequence : item.sequences) {
            ids.insert(ids.end(), sequence.ids.begin(), sequence.ids.end());
            for (size_t i = 0; i < sequence.ids.size(); ++i) types.push_back(sequence.token_type(i));
            lengths.push_back(static_cast<int32_t>(sequence.ids.size()));
        }
    }
    const auto positions = static_cast<int64_t>(ids.size());
    SafetensorsWriter writer;
    writer.add("input_ids", ids, {positions});
    writer.add("token_type_ids", types, {positions});
    writer.add("lengths", lengths, {static_cast<int64_t>(lengths.size())});
    if (data.task.kind == Kind::span) {
        writer.add("start_logits", logits.start, {positions});
        writer.add("end_logits", logits.end, {positions});
    } else {
        writer.add("logits", logits.logits, {rows, logits_columns(data)});
    }
    writer.write(path);
}

}  // namespace dropforge
