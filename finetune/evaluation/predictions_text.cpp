#include "finetune/evaluation/predictions_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/json.h"
#include "finetune/evaluation/evaluation_files.h"

namespace dropforge {

namespace {

using tasks::Kind;
using Json = nlohmann::ordered_json;

/// Softmax in double.
std::vector<double> probabilities_of(std::span<const float> logits) {
    const double largest = *std::ranges::max_element(logits);
    std::vector<double> probabilities;
    double sum = 0;
    for (const float logit : logits) sum += probabilities.emplace_back(std::exp(static_cast<double>(logit) - largest));
    for (double& p : probabilities) p /= sum;
    return probabilities;
}

/// Of the labels or choices of example i; none of regression.
std::vector<double> probabilities_of(const PredictedTask& p, size_t i) {
    if (p.data.task.kind == Kind::regression) return {};
    return probabilities_of(p.logits.row(i, logits_columns(p.data)));
}

/// Of the label of each word of each sentence; none for a word without a piece.
std::vector<std::vector<std::optional<double>>> tag_probabilities(const PredictedTask& p) {
    std::vector<std::vector<std::optional<double>>> all;
    for (const tasks::Example& sentence : p.data.file.examples) all.emplace_back(sentence.words.size());
    size_t row = 0;
    for (const tasks::Item& item : p.data.items.items)
        for (const int32_t word : item.words) {
            const auto w = static_cast<size_t>(word);
            const auto label = static_cast<size_t>(p.predictions.predictions.tags[item.example][w]);
            all[item.example][w] = probabilities_of(p.logits.row(row++, logits_columns(p.data)))[label];
        }
    return all;
}

/// The labels; of choice the numbers of the choices; none of regression.
std::vector<std::string> column_names(const TaskData& data) {
    if (data.task.kind != Kind::choice) return data.labels;
    std::vector<std::string> names;
    for (int64_t i = 0; i < logits_columns(data); ++i) names.push_back(std::to_string(i));
    return names;
}

std::string table_text(const PredictedTask& p) {
    std::string text = "prediction";
    for (const std::string& name : column_names(p.data)) text += '\t' + name;
    size_t i = 0;
    for (const std::string& prediction : prediction_names(p.data, p.predictions.predictions)) {
        text += '\n' + prediction;
        for (const double probability : probabilities_of(p, i)) text += fmt::format("\t{:.6g}", probability);
        ++i;
    }
    return text + '\n';
}

const std::string& tag_of(const PredictedTask& p, size_t sentence, size_t word) {
    return p.data.labels[static_cast<size_t>(p.predictions.predictions.tags[sentence][word])];
}

std::string words_text(const PredictedTask& p) {
    std::string text;
    size_t s = 0;
    for (const auto& probabilities : tag_probabilities(p)) {
        for (size_t w = 0; w < probabilities.size(); ++w)
            text += fmt::format("{} {} {}\n", p.data.file.examples[s].words[w],
                                probabilities[w] ? fmt::format("{:.6g}", *probabilities[w]) : "-", tag_of(p, s, w));
        text += '\n';
        ++s;
    }
    return text;
}

std::vector<Json> word_objects(const PredictedTask& p) {
    std::vector<Json> objects;
    for (const auto& of_sentence : tag_probabilities(p)) {
        const size_t s = objects.size();
        Json tags = Json::array(), probabilities = Json::array();
        for (size_t w = 0; w < of_sentence.size(); ++w) {
            tags.push_back(tag_of(p, s, w));
            probabilities.push_back(of_sentence[w] ? Json(*of_sentence[w]) : Json());
        }
        objects.push_back({{"words", p.data.file.examples[s].words},
                           {"predictions", std::move(tags)},
                           {"probabilities", std::move(probabilities)}});
    }
    return objects;
}

Json question_object(const PredictedTask& p, size_t i) {
    return {{"id", p.data.file.examples[i].id},
            {"prediction", p.predictions.predictions.answers[i]},
            {"null_odds", p.predictions.null->odds[i]}};
}

Json class_object(const PredictedTask& p, size_t i) {
    const auto chosen = p.predictions.predictions.classes[i];
    const std::vector<double> probabilities = probabilities_of(p, i);
    if (p.data.task.kind == Kind::choice) return {{"prediction", chosen}, {"probabilities", probabilities}};
    Json by_label = Json::object();
    for (size_t c = 0; c < probabilities.size(); ++c) by_label[p.data.labels[c]] = probabilities[c];
    return {{"prediction", p.data.labels[static_cast<size_t>(chosen)]}, {"probabilities", std::move(by_label)}};
}

std::vector<Json> objects_of(const PredictedTask& p) {
    if (p.data.task.kind == Kind::token) return word_objects(p);
    std::vector<Json> objects;
    for (size_t i = 0; i < p.data.file.examples.size(); ++i) {
        if (p.data.task.kind == Kind::span)
            objects.push_back(question_object(p, i));
        else if (p.data.task.kind == Kind::regression)
            objects.push_back({{"prediction", p.predictions.predictions.values[i]}});
        else
            objects.push_back(class_object(p, i));
    }
    return objects;
}

}  // namespace

std::string predictions_text(const PredictedTask& predicted) {
    if (predicted.data.task.kind == Kind::span)
        return answers_json(predicted.data, predicted.predictions.predictions.answers);
    return predicted.data.task.kind == Kind::token ? words_text(predicted) : table_text(predicted);
}

std::string predictions_json_lines(const PredictedTask& predicted) {
    std::string text;
    for (const Json& object : objects_of(predicted)) text += json_text(object) + '\n';
    return text;
}

}  // namespace dropforge
