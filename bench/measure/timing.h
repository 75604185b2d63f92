// Timing of kernels' calls: one by one on the host, many between two waits on a device.
#pragma once

#include <functional>
#include <vector>

#include "kernels/context.h"

namespace dropforge {

/// Seconds of one call.
struct Seconds {
    double median, least;
};

/// Times calls of one shape, alternating between them, after one warm-up call of each: on the host over at least 5
/// calls and 0.2 seconds. Where calls are queued they are recorded, as in training, so that no launch waits for the
/// host; a sample is a number of replays that takes 2 ms, and one wait.
Seconds time_calls(kernels::Context& context, const std::vector<std::function<void()>>& calls);

}  // namespace dropforge
