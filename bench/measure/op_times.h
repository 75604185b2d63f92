// Where the time of training steps goes, by operation: layers added up.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "model/training/training_step.h"

namespace dropforge {

/// What the ops that differ only in their layer's number have cost.
class OpTimes {
  public:
    /// `runs` runs of an op that took `seconds` together. `floor`: what they would take at the device's peak; 0: not
    /// known.
    void add(const Op& op, double runs, double seconds, double floor = 0);
    /// Time that no op of a Program takes.
    void add(const std::string& name, double seconds);

    /// [{op, ms, gflops, gbytes_per_second, share}], largest first; with floor_ms where that is known.
    nlohmann::ordered_json json() const;

  private:
    struct Group {
        double seconds = 0, flops = 0, bytes = 0, floor = 0;
    };
    std::map<std::string, Group> groups_;
};

/// Of the mean step of a period, of which each kind has its share, from `steps` clocked ones of each kind of Program.
OpTimes op_times(TrainingStep& step, double steps);

void print_op_times(const nlohmann::ordered_json& list);

}  // namespace dropforge
