// A training run, whatever it trains: a folder that one process holds, steps from the last checkpoint on, a device that
// is kept busy, signals, metrics, evaluations, checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/run/folder.h"
#include "model/run/meter.h"
#include "model/run/metrics.h"
#include "model/training/training_step.h"

namespace dropforge {

class InterruptGuard;

/// What a run trains. The run says which step is next and what is due after it; the task says what a step is, what its
/// numbers mean, and what a checkpoint holds. Pretraining (pretraining.cpp) is one.
class TrainingTask {
  public:
    TrainingTask() = default;
    virtual ~TrainingTask() = default;
    TrainingTask(const TrainingTask&) = delete;
    TrainingTask& operator=(const TrainingTask&) = delete;

    /// Sets all that steps change to what it is before step 1.
    virtual void initialize() = 0;
    /// Reads the checkpoint that save() filled, and returns its last step. Throws Error if it is of another run.
    virtual int64_t restore(const fs::path& checkpoint) = 0;
    /// Fills the folder with kCheckpointFiles (manifest.h): all that the steps after the last collected one depend on.
    /// No step is queued.
    virtual void save(const fs::path& folder) = 0;

    /// Prepares for steps, after initialize() or restore(): e.g. begins to read data.
    virtual void start() {}
    /// Whether a step may be queued behind those that are: one at least if none is.
    virtual bool may_queue() const = 0;
    virtual void queue(int64_t step) = 0;
    /// Waits for the oldest step that is queued, which from now on is part of the interval: the steps since the last
    /// line of metrics.jsonl. A loss that is not finite ends the run, and so does such a gradient norm, unless a loss
    /// scale is still being found. Steps of one kind run the same kernels.
    virtual StepOutcome collect() = 0;

    /// The interval so far, for the progress line: all but step, steps, mfu and seconds_left.
    virtual StepProgress progress(const TrainingSpeed& speed) const = 0;
    /// The interval as a line of metrics.jsonl; the next one begins.
    virtual MetricsLine end_interval(const TrainingSpeed& speed) = 0;
    /// An evaluation, where the schedule has any; `log` takes its lines. No step is queued.
    virtual void evaluate(MetricsLog& /*log*/) {}

    /// Executed in a step of that kind.
    virtual double flops(StepKind) const { return 0; }
    /// FLOP/s that GEMMs reach on the task's device, measured by the call; 0: not known.
    virtual double measure_gemm_peak() const { return 0; }
    /// For data, since start().
    virtual double seconds_waited() const { return 0; }
    /// Which kernels serve the operations that have run, and what is to be said of them, once.
    virtual std::vector<kernels::KernelChoice> kernel_choices() const { return {}; }
    virtual std::vector<std::string> take_notes() { return {}; }
    /// Of every Program of a step, for a trace.
    virtual std::vector<Executor*> executors() { return {}; }
    /// Steps from now on (or no longer) are what a profiler is to see. No step is queued.
    virtual void profile(bool /*on*/) {}
};

struct RunOptions {
    fs::path out;  // run folder
    std::string resume =
        "auto";  // "auto": go on from the newest checkpoint if the folder has one; "off"; a checkpoint's path
    std::vector<std::string> required = {};  // of requirement_names(): a run that would do without is an error
    bool quiet = false;
    int64_t trace_steps = 0;                      // steps from the first one on whose ops go into trace.json
    int64_t profile_first = 0, profile_last = 0;  // steps that a profiler is to see, of a device; 0: none
    /// Called after every checkpoint, e.g. to write a report; what it returns is said.
    std::function<std::vector<std::string>()> after_checkpoint = {};
};

/// The length of a run, and the steps from one event of a kind to the next (0: there is none). Whatever is due at times
/// is also due after the last step; a checkpoint always is.
struct RunSchedule {
    int64_t steps = 0;
    int64_t log_every = 1, evaluate_every = 0, checkpoint_every = 0;
    int64_t keep_last = 1, keep_every = 0;  // RunFolder::prune()
    bool tensorboard = false;
    int64_t show_every = 0;  // from one line of progress to the next where there is no terminal; 0: as log_every
};

class TrainingRun {
  public:
    /// Brings the task to where the run stands: to the checkpoint of options.resume, or to the beginning. Everything
    /// must outlive the run. Nothing that `folder` holds is changed until train() has done a step.
    TrainingRun(const RunOptions& options, const RunSchedule& schedule, RunFolder& folder, ProgressLine& line,
                TrainingTask& task);

    int64_t step() const { return step_; }
    bool finished() const { return step_ >= schedule_.steps; }
    /// The last one; empty if there is none.
    const fs::path& checkpoint() const { return checkpoint_; }

    /// Does the steps that are left. Throws Error for a loss that is not finite (naming the step), for a kernel of
    /// another library than is required, and for steps to profile that are done or traced; DeviceLost with the last
    /// step and checkpoint; Interrupted after a signal, when the step is finished and a checkpoint written.
    void train();

  private:
    void do_steps(const InterruptGuard& interrupt);
    void finish_step();
    void report_kernels(StepKind kind);
    void begin();
    void after_step(int signal);
    void report();
    void save();
    void trace();
    void profile_from(int64_t next);
    bool due(int64_t every, int64_t step) const;
    bool pauses_after(int64_t step) const;
    void require_finite(const char* what, double value, int64_t step) const;
    std::string last_checkpoint_text() const;
    void note(const std::vector<std::string>& notes);

    const RunOptions& options_;
    const RunSchedule schedule_;
    RunFolder& folder_;
    ProgressLine& line_;
    TrainingTask& task_;
    int64_t step_ = 0;   // the last that is done
    int64_t first_ = 0;  // done before train()
    fs::path checkpoint_;
    std::optional<MetricsLog> metrics_;  // from the first step of this process on
    std::optional<SpeedMeter> meter_;
    std::vector<StepKind> seen_;  // kinds that have run
};

}  // namespace dropforge
