// The README.md of an exported model: what it is, what it was trained on and how, as far as the run's folder tells.
#pragma once

#include <string>

#include "model/checkpoint/checkpoint.h"
#include "report/reported_run.h"

namespace dropforge {

/// The card of the run's model after `state.step` steps, in Markdown with the front matter that Hugging Face's Hub
/// reads. `name`: of the model; `parameters`: how many values it has. What the folder of the data tells is left out
/// where that is gone, or holds other data by now. Throws Error for a damaged dataset.json.
std::string model_card(const std::string& name, int64_t parameters, const report::ReportedRun& run,
                       const TrainingState& state);

}  // namespace dropforge
