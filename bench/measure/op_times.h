// The time of training steps by operation, with equal ops of all layers added up.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "model/training/training_step.h"

namespace dropforge {

/// The times of ops, grouped by name without the layer's number.
class OpTimes {
  public:
    /// Adds `runs` runs of an op that took `seconds` together. `floor` is their time at the device's peak; 0: unknown.
    void add(const Op& op, double runs, double seconds, double floor = 0);
    /// Adds time outside a Program's ops.
    void add(const std::string& name, double seconds);

    /// [{op, ms, gflops, gbytes_per_second, share}], longest first; with floor_ms where it is known.
    nlohmann::ordered_json json() const;

  private:
    struct Group {
        double seconds = 0, flops = 0, bytes = 0, floor = 0;
    };
    std::map<std::string, Group> groups_;
};

/// The times of the mean step of a period, in which each kind has its share, from `steps` clocked steps of each kind.
OpTimes op_times(TrainingStep& step, double steps);

void print_op_times(const nlohmann::ordered_json& list);

}  // namespace dropforge
