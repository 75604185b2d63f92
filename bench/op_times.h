// Where the time of training steps goes, by operation: layers added up.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "model/training_step.h"

namespace dropforge {

/// [{op, ms, gflops, gbytes_per_second, share}], largest first, a step; over `steps` clocked ones of each kind.
nlohmann::ordered_json op_times(TrainingStep& step, double steps);

void print_op_times(const nlohmann::ordered_json& list);

}  // namespace dropforge
