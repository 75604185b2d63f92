#include "model/run/meter.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "kernels/gemm_peak.h"

namespace dropforge {

double monotonic_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double unix_seconds() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

StepMeter::StepMeter(const RunPlan& plan, NamedNumbers& interval, int64_t step)
    : plan_(plan), interval_(interval), since_(monotonic_seconds()), first_(step) {}

void StepMeter::count(const StepOutcome& step, double flops) {
    flops_ += flops;
    plan_.method->add_up(step.info, step.result.numbers, interval_);
}

StepMetrics StepMeter::metrics(int64_t step, const StepReport& report) {
    const RunConfig& c = plan_.config;
    const NamedNumbers& sums = interval_;
    const double elapsed = std::max(monotonic_seconds() - since_, 1e-9), count = sums["count"];
    if (gemm_peak_ == 0) measure_peak();
    const double rate = static_cast<double>((step - first_) * c.train.batch) / elapsed;
    StepMetrics m{.step = step,
                  .tokens = step * c.train.batch * c.data.sequence,
                  .loss = count > 0 ? sums["loss"] / count : std::numeric_limits<double>::quiet_NaN(),
                  .mlm_accuracy = sums["correct"] / std::max(count, 1.0),
                  .lr = report.learning_rate,
                  .grad_norm = report.gradient_norm,
                  .time = unix_seconds(),
                  .sequences_per_second = rate,
                  .tokens_per_second = rate * static_cast<double>(c.data.sequence),
                  .mfu = flops_ / elapsed / gemm_peak_,
                  .seconds_waiting_for_data = report.seconds_waited - waited_};
    if (report.loss_scale) m.further["loss_scale"] = *report.loss_scale;
    for (const auto& [name, value] : plan_.method->metrics(step, sums)) m.further[name] = value;
    return m;
}

double StepMeter::seconds_left(const StepMetrics& m) const {
    return static_cast<double>((plan_.config.train.steps - m.step) * plan_.config.train.batch) / m.sequences_per_second;
}

/// The best that was seen: others may have had the cores.
void StepMeter::measure_peak() {
    const double start = monotonic_seconds();
    gemm_peak_ = std::max(gemm_peak_, 1e9 * kernels::gemm_peak_gflops(*plan_.device.kernels, plan_.precision.dtype));
    leave_out(monotonic_seconds() - start);
}

void StepMeter::next_interval(int64_t step, const StepReport& report) {
    // A peak that training beats was measured while others had the cores.
    if (flops_ > gemm_peak_ * (monotonic_seconds() - since_)) measure_peak();
    interval_ = {};
    flops_ = 0;
    since_ = monotonic_seconds();
    waited_ = report.seconds_waited;
    first_ = step;
}

}  // namespace dropforge
