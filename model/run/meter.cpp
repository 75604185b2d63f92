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

StepMeter::StepMeter(const RunPlan& plan, IntervalSums& sums, int64_t step)
    : plan_(plan), sums_(sums), since_(monotonic_seconds()), first_(step) {}

void StepMeter::count(StepKind kind, const StepResult& result, double flops) {
    flops_ += flops;
    sums_.loss += result.mlm_loss;
    sums_.count += result.mlm_count;
    sums_.correct += result.mlm_correct;
    sums_.steps += 1;
    sums_.kept += kind == StepKind::dense ? 1 : plan_.kept_fraction();
    if (kind != StepKind::align) return;
    sums_.align_steps += 1;
    sums_.align_count += result.mlm_count;
    sums_.loss_full += result.mlm_loss_full;
    sums_.kl_local += result.kl_local;
    sums_.kl_global += result.kl_global;
}

StepMetrics StepMeter::metrics(int64_t step, const StepReport& report) {
    const RunConfig& c = plan_.config;
    const double elapsed = std::max(monotonic_seconds() - since_, 1e-9), count = std::max(sums_.count, 1.0);
    if (gemm_peak_ == 0) measure_peak();
    const double rate = static_cast<double>((step - first_) * c.train.batch) / elapsed;
    StepMetrics m{.step = step,
                  .tokens = step * c.train.batch * c.data.sequence,
                  .loss = sums_.count > 0 ? sums_.loss / sums_.count : std::numeric_limits<double>::quiet_NaN(),
                  .mlm_accuracy = sums_.correct / count,
                  .lr = report.learning_rate,
                  .grad_norm = report.gradient_norm,
                  .loss_scale = report.loss_scale,
                  .time = unix_seconds(),
                  .sequences_per_second = rate,
                  .tokens_per_second = rate * static_cast<double>(c.data.sequence),
                  .mfu = flops_ / elapsed / gemm_peak_,
                  .seconds_waiting_for_data = report.seconds_waited - waited_};
    add_method_terms(step, m);
    return m;
}

void StepMeter::add_method_terms(int64_t step, StepMetrics& m) const {
    if (drops_tokens(plan_.config.train.method)) m.kept_fraction = sums_.kept / sums_.steps;
    if (sums_.align_steps == 0) return;
    if (plan_.config.sctd.full_mlm) m.mlm_loss_full = sums_.loss_full / std::max(sums_.align_count, 1.0);
    m.kl_local = sums_.kl_local / sums_.align_steps;
    m.kl_global = sums_.kl_global / sums_.align_steps;
    m.lambda = plan_.schedule.lambda(step);
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
    sums_ = {};
    flops_ = 0;
    since_ = monotonic_seconds();
    waited_ = report.seconds_waited;
    first_ = step;
}

}  // namespace dropforge
