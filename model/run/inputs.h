// What a pretraining run is made of, opened and checked before anything is written.
#pragma once

#include "data/batches/loader.h"
#include "data/shards/dataset.h"
#include "model/run/plan.h"
#include "model/run/pretraining.h"

namespace dropforge {

/// The data, and the plan of a configuration that is completed from it. Throws Error for bad input.
struct RunInputs {
    data::Dataset training, validation;
    data::Vocabulary vocabulary;
    RunPlan plan;

    /// `config` with data.path.
    RunInputs(const RunConfig& config, const Device& device);

    /// Whether the validation split has a sequence, or a pair, to evaluate on.
    bool has_validation() const;
    RunSchedule schedule() const;
};

/// Those of a run that may go on from a checkpoint, said on stderr unless it is quiet. Throws Error for options that
/// contradict them or each other, and if the run does not fit.
RunInputs open_inputs(const PretrainOptions& options);

/// How the batches of a run with a complete configuration are made: that of step n is the loader's n − 1.
data::LoaderOptions loader_options(const RunConfig& config, const Method& method);

}  // namespace dropforge
