// How fast a run trains: the time of the steps since the last line of metrics.jsonl.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace dropforge {

/// Of the steps since the last line of metrics.jsonl.
struct TrainingSpeed {
    double steps_per_second = 0;
    std::optional<double> mfu = {};  // share of the measured GEMM peak; none where that is not known
    double seconds_waited = 0;       // for data
};

class SpeedMeter {
  public:
    /// Its clock starts. `gemm_peak` measures the FLOP/s that GEMMs reach on the run's device; 0 where that is not
    /// known.
    explicit SpeedMeter(std::function<double()> gemm_peak);

    /// A finished step, `flops` executed in it.
    void count(double flops);
    /// Does what is not the training's, such as an evaluation or a checkpoint, and leaves its seconds out.
    void leave_out(const std::function<void()>& work);
    /// `seconds_waited`: for data, since the process began. The first call measures the GEMM peak, which takes a
    /// moment: not before the first step is done, so that a run starts at once.
    TrainingSpeed speed(double seconds_waited);
    /// The steps from now on are those of the next line.
    void next_interval(double seconds_waited);

  private:
    void measure_peak();

    std::function<double()> gemm_peak_;
    double peak_ = 0;  // FLOP/s
    double flops_ = 0, since_ = 0, waited_ = 0;
    int64_t steps_ = 0;
};

/// Seconds of a clock that never jumps.
double monotonic_seconds();
/// Seconds since 1970.
double unix_seconds();

}  // namespace dropforge
