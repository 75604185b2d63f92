#include "finetune/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "data/tasks/metrics/correlation.h"
#include "data/tasks/sequences/spans.h"

namespace dropforge {

namespace {

using tasks::Kind;

/// The first of equal ones.
int32_t largest(std::span<const float> logits) {
    return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

double cross_entropy(std::span<const float> logits, int32_t gold) {
    const double most = *std::ranges::max_element(logits);
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
    return most + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(gold)]);
}

/// The right class of each row of logits. Of single, pair, choice and token.
std::vector<int32_t> gold_classes(const TaskData& data) {
    std::vector<int32_t> gold;
    for (const tasks::Item& item : data.items.items) {
        const std::vector<int32_t>& classes = data.file.examples[item.example].classes;
        if (data.task.kind != Kind::token) gold.push_back(classes[0]);
        for (const int32_t word : item.words) gold.push_back(classes[static_cast<size_t>(word)]);
    }
    return gold;
}

double class_loss(const TaskData& data, const TaskLogits& logits, const std::vector<double>& class_weights) {
    const int64_t columns = logits_columns(data);
    double sum = 0, weights = 0;
    size_t row = 0;
    for (const int32_t gold : gold_classes(data)) {
        const double weight = class_weights.empty() ? 1 : class_weights[static_cast<size_t>(gold)];
        sum += weight * cross_entropy(logits.row(row++, columns), gold);
        weights += weight;
    }
    return weights > 0 ? sum / weights : 0;
}

double squared_error(const TaskData& data, const std::vector<double>& predicted) {
    std::vector<double> gold;
    for (const tasks::Example& example : data.file.examples) gold.push_back(example.value);
    return tasks::mean_squared_error(gold, predicted);
}

std::vector<std::vector<int32_t>> predicted_tags(const TaskData& data, const TaskLogits& logits) {
    const auto outside = std::ranges::find(data.labels, "O");
    const auto other = static_cast<int32_t>(outside == data.labels.end() ? 0 : outside - data.labels.begin());
    std::vector<std::vector<int32_t>> tags;
    for (const tasks::Example& sentence : data.file.examples) tags.emplace_back(sentence.words.size(), other);
    size_t row = 0;
    for (const tasks::Item& item : data.items.items)
        for (const int32_t word : item.words)
            tags[item.example][static_cast<size_t>(word)] = largest(logits.row(row++, logits_columns(data)));
    return tags;
}

std::vector<int32_t> predicted_classes(const TaskData& data, const TaskLogits& logits) {
    std::vector<int32_t> classes;
    for (size_t i = 0; i < data.items.items.size(); ++i)
        classes.push_back(largest(logits.row(i, logits_columns(data))));
    return classes;
}

/// The best span of every question.
std::vector<tasks::SpanPrediction> best_spans(const TaskData& data, const TaskLogits& logits, int64_t max_answer) {
    std::vector<std::vector<tasks::WindowLogits>> windows(data.file.examples.size());
    size_t at = 0;
    for (const tasks::Item& item : data.items.items) {
        const size_t length = item.length();
        windows[item.example].push_back(
            {&item, std::span(logits.start).subspan(at, length), std::span(logits.end).subspan(at, length)});
        at += length;
    }
    std::vector<tasks::SpanPrediction> best;
    for (size_t i = 0; i < windows.size(); ++i)
        best.push_back(tasks::best_span(*data.file.examples[i].b, windows[i], max_answer));
    return best;
}

TaskPredictions predict_spans(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options) {
    std::vector<tasks::SpanPrediction> best = best_spans(data, logits, options.max_answer);
    TaskPredictions predicted;
    std::vector<std::string>& answers = predicted.predictions.answers;
    for (tasks::SpanPrediction& prediction : best) answers.push_back(std::move(prediction.text));
    if (data.task.name != "squad2") return predicted;
    predicted.best_answers = answers;
    tasks::NullOdds& null = predicted.null.emplace();
    for (size_t i = 0; i < best.size(); ++i) {
        null.odds.push_back(best[i].odds);
        if (best[i].odds > options.null_threshold) answers[i].clear();
    }
    null.order.resize(best.size());
    std::iota(null.order.begin(), null.order.end(), size_t{0});
    return predicted;
}

tasks::Metrics metrics_of(const TaskData& data, const TaskEvaluation& evaluation, double null_threshold) {
    const std::vector<tasks::Example>& examples = data.file.examples;
    if (!evaluation.null) return measure(data.task, data.labels, examples, evaluation.predictions);
    return measure(data.task, data.labels, examples, {.answers = evaluation.best_answers},
                   {.null = evaluation.null, .threshold = null_threshold});
}

/// A model whose numbers overflow says nothing, though its logits could be compared.
void require_finite(const TaskData& data, const TaskLogits& logits) {
    for (const std::vector<float>* part : {&logits.logits, &logits.start, &logits.end})
        require(std::ranges::all_of(*part, [](float logit) { return std::isfinite(logit); }),
                "{}: the model's logits are not all finite", data.file.path);
}

}  // namespace

int64_t logits_columns(const TaskData& data) {
    if (data.task.kind == Kind::regression) return 1;
    const bool choice = data.task.kind == Kind::choice;
    return static_cast<int64_t>(choice ? data.items.items[0].sequences.size() : data.labels.size());
}

TaskPredictions predict(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options) {
    require_finite(data, logits);
    if (data.task.kind == Kind::span) return predict_spans(data, logits, options);
    tasks::Predictions predictions;
    if (data.task.kind == Kind::regression)
        predictions.values.assign(logits.logits.begin(), logits.logits.end());
    else if (data.task.kind == Kind::token)
        predictions.tags = predicted_tags(data, logits);
    else
        predictions.classes = predicted_classes(data, logits);
    return {.predictions = std::move(predictions)};
}

TaskEvaluation evaluate(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options) {
    TaskEvaluation evaluation{predict(data, logits, options)};
    if (data.task.kind == Kind::regression)
        evaluation.loss = squared_error(data, evaluation.predictions.values);
    else if (data.task.kind != Kind::span)
        evaluation.loss = class_loss(data, logits, options.class_weights);
    evaluation.metrics = metrics_of(data, evaluation, options.null_threshold);
    evaluation.main = tasks::main_metric(data.task, evaluation.metrics);
    return evaluation;
}

}  // namespace dropforge
