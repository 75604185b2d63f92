// What a task's predictions are worth, printed.
#pragma once

#include <optional>
#include <string>

#include "data/tasks/metrics/metrics.h"

namespace dropforge {

struct TaskScores {
    std::string task;  // as its user names it
    size_t examples = 0;
    std::optional<double> main = {};
    tasks::Metrics metrics = {};
    std::optional<double> loss = {};  // where there is a model that has one
};

/// Lines for people, or a line of JSON, on stdout.
void print_scores(const TaskScores& scores, bool json);

}  // namespace dropforge
