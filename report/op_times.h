// Where the time of a run's steps went, from its trace.json.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge::report {

/// All ops of one name in all layers: "fc1.weight_gradient" of "layer3/fc1.weight_gradient".
struct OpTotal {
    std::string name;
    double seconds = 0, flops = 0;
    int64_t calls = 0;
};

/// The longest first. Throws Error for what is no trace of `dropforge pretrain --trace`.
std::vector<OpTotal> op_times(const fs::path& trace);

}  // namespace dropforge::report
