// What the logits of a file are worth: predictions, loss and metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/tasks/metrics/metrics.h"
#include "data/tasks/sequences/sequences.h"

namespace dropforge {

/// A file of a task: read, its labels indexed, and cut into items.
struct TaskData {
    const tasks::Task& task;               // as resolve() gave it
    std::vector<std::string> labels = {};  // in the order of the logits; none: the task's kind has none
    tasks::ExampleFile file = {};
    tasks::Items items = {};
};

/// The logits of a row, C: of a class each; of choice, of a choice each; 1 of regression.
int64_t logits_columns(const TaskData& data);

/// What a model says of a file, in the order of its items.
struct TaskLogits {
    std::vector<float> logits = {};           // [examples, C]; token [pieces with a label, C]
    std::vector<float> start = {}, end = {};  // span: of every position of all sequences, one after the other

    /// Row i of [rows, C].
    std::span<const float> row(size_t i, int64_t columns) const {
        return std::span(logits).subspan(i * static_cast<size_t>(columns), static_cast<size_t>(columns));
    }
};

struct ScoringOptions {
    std::vector<double> class_weights = {};  // of the loss, one a label; empty: all equal
    int64_t max_answer = 30;                 // span: pieces
    double null_threshold = 0;               // squad2: the answer is "" where the odds of that are larger
};

struct TaskPredictions {
    tasks::Predictions predictions = {};
    std::vector<std::string> best_answers = {};  // squad2: the best texts, also where "" is predicted
    std::optional<tasks::NullOdds> null = {};    // squad2
};

struct TaskEvaluation : TaskPredictions {
    std::optional<double> loss = {};  // of the file as one batch; none of span
    tasks::Metrics metrics = {};
    std::optional<double> main = {};  // the mean of the task's main metrics; none if one of them is not defined
};

/// The largest logit, of equal ones the lowest; of regression the logit; of a word without a piece O, or the first
/// label where there is no O; of span those of best_span(). Labels are not read.
/// Throws Error if a logit is not finite.
TaskPredictions predict(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options);

/// The predictions are those of predict(). The loss is computed in double from the logits: Σ w·CE / Σ w of classes with
/// the weights w, 0 if nothing has a label; the mean of (logit − label)² of regression. Throws as predict() does.
TaskEvaluation evaluate(const TaskData& data, const TaskLogits& logits, const ScoringOptions& options);

}  // namespace dropforge
