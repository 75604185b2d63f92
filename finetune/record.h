// config.toml of a fine-tuning run: the configuration, and what the run is of.
#pragma once

#include "finetune/plan.h"
#include "model/run/folder.h"

namespace dropforge {

/// Holds the runs of --grid, in the folder of the run that they are for, until that is done.
inline constexpr const char* kGridFolder = "grid";

/// The record of a run with `seed`, by which another command knows whether it goes on with it.
RunRecord finetuning_record(const FinetuneOptions& options, const FinetuneConfig& config,
                            const std::vector<std::string>& labels);
/// The configuration that config.toml holds. Throws Error if it holds none of a fine-tuning run.
FinetuneConfig recorded_finetuning(const std::string& text, const std::string& where);

}  // namespace dropforge
