// How long calls of kernels take: one by one on the host, many between two waits on a device.
#pragma once

#include <functional>
#include <vector>

#include "kernels/context.h"

namespace dropforge {

/// Of one call.
struct Seconds {
    double median, least;
};

/// Times calls of one shape, in turn; each is called once before. On the host over at least 5 calls and 0.2 seconds.
/// Where calls are only queued they are recorded, as in training, so that no launch waits for the host; a sample is as
/// many replays as last 2 ms, and one wait.
Seconds time_calls(kernels::Context& context, const std::vector<std::function<void()>>& calls);

}  // namespace dropforge
