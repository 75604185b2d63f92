// A pretraining run from its configuration to its last checkpoint.
#pragma once

#include <string>

#include "base/file.h"
#include "model/config/config.h"
#include "model/run/plan.h"
#include "model/run/training_run.h"

namespace dropforge {

struct PretrainOptions : RunOptions {
    RunConfig config;  // with data.path
    Device device = cpu_device();
    fs::path initial;      // checkpoint whose weights the run starts from, or did when it was new; empty: random
    std::string revision;  // of the program's source, for the checkpoints
};

struct PretrainResult {
    fs::path checkpoint = {};  // the last one
    int64_t step = 0;
    double loss = 0, accuracy = 0;  // on the validation shards after the last step; NaN if there was no evaluation
};

/// The plan of such a run, for a report; nothing is written. `config` with data.path. Throws Error for bad input.
RunPlan plan_pretraining(const RunConfig& config, const Device& device);

/// Trains to config.train.steps, or notes that the run has done them. Notes and progress go to stderr. Throws Error for
/// bad input, a run that does not fit (a new folder is removed again), and whatever TrainingRun::train() throws for.
PretrainResult pretrain(const PretrainOptions& options);

}  // namespace dropforge
