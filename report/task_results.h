// What models came to on tasks: the results of `dropforge finetune`.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "finetune/evaluation/result.h"

namespace dropforge::report {

struct TaskResult {
    std::string task;
    Spread main;          // over the seeds, as fractions
    std::string metrics;  // means of all metrics, for people: "accuracy 0.8431, f1 0.8880"
    size_t seeds = 0;
};

/// Of one model.
struct TaskResults {
    std::string label;
    std::vector<TaskResult> tasks;
};

/// FOLDER, or LABEL=FOLDER, of a command line: a folder with a result.json, or one whose folders have one each, in the
/// order of their names. Without a label, the folder as given. Throws Error for one without any, and for a damaged
/// file.
std::vector<TaskResults> read_task_results(const std::vector<std::string>& arguments);

/// A table of them, a row a model and a column a task, as a <section> of HTML; "" if there are none.
std::string task_section(const std::vector<TaskResults>& models);

}  // namespace dropforge::report
