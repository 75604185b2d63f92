// What a task's predictions are worth, as the owners of the task measure it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "data/tasks/examples.h"

namespace dropforge::tasks {

/// What was predicted for each example of a file, in its order.
struct Predictions {
    std::vector<int32_t> classes = {};            // single, pair: places among the labels; choice: of the choice
    std::vector<double> values = {};              // regression
    std::vector<std::vector<int32_t>> tags = {};  // token: a place among the labels for each word
    std::vector<std::string> answers = {};        // span: "" for none
};

/// How likely it is that questions have no answer.
struct NullOdds {
    std::vector<double> odds = {};   // of each question, in the order of the examples
    std::vector<size_t> order = {};  // the examples in the order in which the search of a threshold meets equal odds
};

/// By name, in the order in which they are reported; none where a metric is not defined.
using Metrics = std::vector<std::pair<std::string, std::optional<double>>>;

/// Of squad2: `odds`, and with them a threshold above which "" counts as the prediction.
struct NoAnswer {
    std::optional<NullOdds> null = {};
    std::optional<double> threshold = {};
};

/// The metrics of a task that resolve() gave, of examples that index_labels() has seen. Those that the data do not have
/// are left out: f1 for other than two labels, of tags that are no entities all but accuracy, of squad2 the means over
/// no question and the best thresholds without odds.
Metrics measure(const Task& task, const std::vector<std::string>& labels, const std::vector<Example>& examples,
                const Predictions& predictions, const NoAnswer& no_answer = {});

/// The mean of the task's main metrics, by which the best epoch is chosen; none if one of them is not defined.
std::optional<double> main_metric(const Task& task, const Metrics& metrics);

}  // namespace dropforge::tasks
