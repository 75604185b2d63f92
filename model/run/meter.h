// What the steps since the last line of metrics.jsonl gave, and how long they took.
#pragma once

#include "model/run/metrics.h"
#include "model/run/plan.h"

namespace dropforge {

/// What a step leaves beside its result.
struct StepReport {
    double learning_rate = 0, gradient_norm = 0;
    std::optional<double> loss_scale = {};
    double seconds_waited = 0;  // for data, since the process began
};

class StepMeter {
  public:
    /// `plan` and `interval` must outlive the meter. Its clock starts; steps after `step` are counted.
    StepMeter(const RunPlan& plan, NamedNumbers& interval, int64_t step);

    /// A finished step, `flops` executed in it.
    void count(const StepOutcome& step, double flops);
    /// These seconds were not the training's: evaluation, a checkpoint.
    void leave_out(double seconds) { since_ += seconds; }
    /// Of the steps since the last next_interval(), the last being `step`. The first call measures the GEMM peak, which
    /// takes a moment: not before the first step is done, so that a run starts at once.
    StepMetrics metrics(int64_t step, const StepReport& report);
    /// Seconds that the rest of the run takes at the rate of these steps.
    double seconds_left(const StepMetrics& metrics) const;
    void next_interval(int64_t step, const StepReport& report);

  private:
    void measure_peak();

    const RunPlan& plan_;
    NamedNumbers& interval_;
    double gemm_peak_ = 0;  // FLOP/s
    double flops_ = 0, since_ = 0, waited_ = 0;
    int64_t first_ = 0;
};

/// Seconds of a clock that never jumps.
double monotonic_seconds();
/// Seconds since 1970.
double unix_seconds();

}  // namespace dropforge
