// The table of a run's keys: parsing, checks, printing and --set of RunConfig all come from it.
#pragma once

#include <array>
#include <vector>

#include "model/config/config.h"
#include "model/config/field.h"

namespace dropforge::config {

/// In the order of Precision.
inline constexpr std::array kPrecisionNames{"auto", "bf16", "fp16", "f32"};

/// All keys in the order in which they are printed; a shorthand stands before the keys that it sets.
std::vector<Field> fields(RunConfig& config);

}  // namespace dropforge::config
