// The table of a fine-tuning run's keys.
#pragma once

#include <vector>

#include "finetune/config/config.h"
#include "model/config/field.h"

namespace dropforge::config {

/// All keys in the order in which they are printed.
std::vector<Field> fields(FinetuneConfig& config);

}  // namespace dropforge::config
