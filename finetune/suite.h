// Fine-tuning on all tasks of a suite that a folder has.
#pragma once

#include <string>
#include <vector>

#include "finetune/finetuning.h"

namespace dropforge {

struct SuiteTask {
    std::string task;
    fs::path training, evaluated;
};

/// The tasks of "glue", "superglue" or "all" (every task that has a name of its own) for which `data` has a folder with
/// the official files: its name is the task's, whatever its case and signs (SST-2, sst2). In the suite's order. Throws
/// Error for another suite, and for one of which nothing is there.
std::vector<SuiteTask> suite_tasks(const std::string& suite, const fs::path& data);

struct SuiteRow {
    std::string task;
    Spread main = {};
    std::string error = {};  // why there is no result
};
struct SuiteResult {
    std::vector<SuiteRow> rows;

    /// The mean of the tasks' main metrics, as GLUE counts it (Wang et al. 2019, section 3); none if one is missing.
    std::optional<double> average() const;
    std::string to_json() const;
};

/// Fine-tunes on each task, into options.out/TASK; one that has its result.json there keeps it. A task that fails does
/// not hinder the others. Writes suite.json last.
SuiteResult finetune_suite(const FinetuneOptions& options, const std::vector<SuiteTask>& tasks);

}  // namespace dropforge
