// Metrics as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "data/tasks/metrics/metrics.h"

namespace dropforge::tasks {

/// null for none.
nlohmann::ordered_json json_of(std::optional<double> value);

/// {name: value}, null where a metric is not defined.
nlohmann::ordered_json json_of(const Metrics& metrics);

}  // namespace dropforge::tasks
