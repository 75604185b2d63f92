#include "finetune/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "base/error.h"
#include "data/tasks/metrics/correlation.h"
#include "data/tasks/sequences/spans.h"

namespace dropforge {

namespace {

using tasks::Kind;

/// A row of logits over classes or choices, and which of them is right.
struct ClassRow {
    std::span<const float> logits;
    int32_t gold;

    int32_t predicted() const {  // the first of equal ones
        return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
    }
    double cross_entropy() const {
        const double largest = *std::ranges::max_element(logits);
        double sum = 0;
        for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
        return largest + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(gold)]);
    }
};

/// Of single, pair, choice and token.
std::vector<ClassRow> class_rows(const TaskData& data, const TaskLogits& logits) {
    const std::vector<tasks::Item>& items = data.items.items;
    const auto columns = static_cast<size_t>(logits_columns(data));
    std::vector<ClassRow> rows;
    const auto add = [&](int32_t gold) {
        rows.push_back({std::span(logits.logits).subspan(rows.size() * columns, columns), gold});
    };
    for (const tasks::Item& item : items) {
        const std::vector<int32_t>& classes = data.file.examples[item.example].classes;
        if (data.task.kind != Kind::token) add(classes[0]);
        for (const int32_t word : item.words) add(classes[static_cast<size_t>(word)]);
    }
    return rows;
}

double class_loss(const std::vector<ClassRow>& rows, const std::vector<double>& class_weights) {
    double sum = 0, weights = 0;
    for (const ClassRow& row : rows) {
        const double weight = class_weights.empty() ? 1 : class_weights[static_cast<size_t>(row.gold)];
        sum += weight * row.cross_entropy();
        weights += weight;
    }
    return weights > 0 ? sum / weights : 0;
}

std::vector<std::vector<int32_t>> predicted_tags(const TaskData& data, const std::vector<ClassRow>& rows) {
    const auto outside = std::ranges::find(data.labels, "O");
    const auto other = static_cast<int32_t>(outside == data.labels.end() ? 0 : outside - data.labels.begin());
    std::vector<std::vector<int32_t>> tags;
    for (const tasks::Example& sentence : data.file.examples) tags.emplace_back(sentence.words.size(), other);
    auto row = rows.begin();
    for (const tasks::Item& item : data.items.items)
        for (const int32_t word : item.words) tags[item.example][static_cast<size_t>(word)] = (row++)->predicted();
    return tags;
}

void evaluate_classes(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options,
                      TaskEvaluation& evaluation) {
    const std::vector<ClassRow> rows = class_rows(data, logits);
    evaluation.loss = class_loss(rows, options.class_weights);
    if (data.task.kind == Kind::token)
        evaluation.predictions.tags = predicted_tags(data, rows);
    else
        for (const ClassRow& row : rows) evaluation.predictions.classes.push_back(row.predicted());
}

void evaluate_numbers(const TaskData& data, const TaskLogits& logits, TaskEvaluation& evaluation) {
    std::vector<double> gold;
    for (const tasks::Example& example : data.file.examples) gold.push_back(example.value);
    evaluation.predictions.values.assign(logits.logits.begin(), logits.logits.end());
    evaluation.loss = tasks::mean_squared_error(gold, evaluation.predictions.values);
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

void evaluate_spans(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options,
                    TaskEvaluation& evaluation) {
    std::vector<tasks::SpanPrediction> best = best_spans(data, logits, options.max_answer);
    std::vector<std::string>& answers = evaluation.predictions.answers;
    for (tasks::SpanPrediction& prediction : best) answers.push_back(std::move(prediction.text));
    if (data.task.name != "squad2") return;
    evaluation.best_answers = answers;
    tasks::NullOdds& null = evaluation.null.emplace();
    for (size_t i = 0; i < best.size(); ++i) {
        null.odds.push_back(best[i].odds);
        if (best[i].odds > options.null_threshold) answers[i].clear();
    }
    null.order.resize(best.size());
    std::iota(null.order.begin(), null.order.end(), size_t{0});
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

TaskEvaluation evaluate(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options) {
    require_finite(data, logits);
    TaskEvaluation evaluation;
    if (data.task.kind == Kind::span)
        evaluate_spans(data, logits, options, evaluation);
    else if (data.task.kind == Kind::regression)
        evaluate_numbers(data, logits, evaluation);
    else
        evaluate_classes(data, logits, options, evaluation);
    evaluation.metrics = metrics_of(data, evaluation, options.null_threshold);
    evaluation.main = tasks::main_metric(data.task, evaluation.metrics);
    return evaluation;
}

}  // namespace dropforge
