#include "model/run/meter.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace dropforge {

double monotonic_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double unix_seconds() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

SpeedMeter::SpeedMeter(std::function<double()> gemm_peak)
    : gemm_peak_(std::move(gemm_peak)), since_(monotonic_seconds()) {}

void SpeedMeter::count(double flops) {
    flops_ += flops;
    ++steps_;
}

void SpeedMeter::leave_out(const std::function<void()>& work) {
    const double start = monotonic_seconds();
    work();
    since_ += monotonic_seconds() - start;
}

TrainingSpeed SpeedMeter::speed(double seconds_waited) {
    const double elapsed = std::max(monotonic_seconds() - since_, 1e-9);
    if (peak_ == 0) measure_peak();
    TrainingSpeed speed{.steps_per_second = static_cast<double>(steps_) / elapsed,
                        .seconds_waited = seconds_waited - waited_};
    if (peak_ > 0) speed.mfu = flops_ / elapsed / peak_;
    return speed;
}

/// The best that was seen: others may have had the cores.
void SpeedMeter::measure_peak() {
    leave_out([this] { peak_ = std::max(peak_, gemm_peak_()); });
}

void SpeedMeter::next_interval(double seconds_waited) {
    // A peak that training beats was measured while others had the cores.
    if (flops_ > peak_ * (monotonic_seconds() - since_)) measure_peak();
    flops_ = 0;
    since_ = monotonic_seconds();
    waited_ = seconds_waited;
    steps_ = 0;
}

}  // namespace dropforge
