#include "model/run/training_run.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "engine/trace.h"
#include "kernels/device_lost.h"
#include "model/run/kernel_report.h"

namespace dropforge {

namespace {

/// Throws Error unless the steps of --profile-steps come after `step`, the last one done, and after those of --trace.
void check_profiled_steps(const RunOptions& options, int64_t step) {
    if (options.profile_first == 0) return;
    require(options.profile_first > step, "--profile-steps begins at step {}, this run goes on with step {}",
            options.profile_first, step + 1);
    require(options.profile_first - step > options.trace_steps,
            "--profile-steps begins at step {}, which --trace clocks", options.profile_first);
}

}  // namespace

TrainingRun::TrainingRun(const RunOptions& options, const RunSchedule& schedule, RunFolder& folder, ProgressLine& line,
                         TrainingTask& task)
    : options_(options), schedule_(schedule), folder_(folder), line_(line), task_(task) {
    std::optional<Checkpoint> found;
    if (options.resume != "off") found = find_checkpoint(folder.path(), options.resume);
    if (!found) {
        task.initialize();
        return;
    }
    step_ = task.restore(found->path);
    checkpoint_ = found->path;
    line.note(fmt::format("resumed after step {} from {}", step_, checkpoint_.string()));
}

void TrainingRun::train() {
    check_profiled_steps(options_, step_);
    const InterruptGuard interrupt;
    task_.start();
    try {
        do_steps(interrupt);
    } catch (const kernels::DeviceLost& lost) {
        line_.finish();
        throw kernels::DeviceLost("after step {}: {}; the run stops and {}", step_, lost.what(),
                                  last_checkpoint_text());
    }
}

void TrainingRun::do_steps(const InterruptGuard& interrupt) {
    first_ = step_;
    if (options_.trace_steps > 0) trace();
    profile_from(step_ + 1);
    meter_.emplace([this] { return task_.measure_gemm_peak(); });
    for (int64_t next = step_ + 1; !finished();) {
        // A device gets a step while it works on the one before, unless something comes in between.
        while (next <= schedule_.steps && task_.may_queue() &&
               (next == step_ + 1 || (interrupt.signal() == 0 && !pauses_after(next - 1))))
            task_.queue(next++);
        finish_step();
        after_step(next == step_ + 1 ? interrupt.signal() : 0);
    }
    line_.finish();
}

/// Takes the results of the oldest step that is queued.
void TrainingRun::finish_step() {
    const StepOutcome outcome = task_.collect();
    const auto& [step, kind, learning_rate] = outcome.settings;
    require_finite("loss", outcome.result.loss, step);
    const bool finding_scale = outcome.loss_scale && *outcome.loss_scale > kernels::LossScale::kLeast;
    if (!finding_scale) require_finite("gradient norm", outcome.gradient_norm, step);
    if (std::ranges::count(seen_, kind) == 0) report_kernels(kind);
    step_ = step;
    meter_->count(task_.flops(kind));
}

void TrainingRun::require_finite(const char* what, double value, int64_t step) const {
    require(std::isfinite(value), "step {}: the {} is {}; the run stops and {}", step, what, value,
            last_checkpoint_text());
}

/// For errors that end the run: whether there is a checkpoint to go on from.
std::string TrainingRun::last_checkpoint_text() const {
    return checkpoint_.empty() ? "has no checkpoint" : "its last checkpoint stays: " + checkpoint_.string();
}

/// After the first step of a kind: kernels.tsv says what serves its operations. The first of all begins the run.
void TrainingRun::report_kernels(StepKind kind) {
    seen_.push_back(kind);
    note(task_.take_notes());
    const std::vector<kernels::KernelChoice> choices = task_.kernel_choices();
    check_requirements(options_.required, choices);
    if (!metrics_) begin();
    if (!choices.empty()) write_text(folder_.path() / "kernels.tsv", kernel_table(choices));
}

/// Makes the first changes to the run's folder. With a step done, no error of a start is left that could follow.
void TrainingRun::begin() {
    const auto open_metrics = [this] { metrics_.emplace(folder_.path(), step_, schedule_.tensorboard); };
    meter_->leave_out([&] {
        for (const fs::path& later : folder_.begin(step_, open_metrics)) line_.note("set aside: " + later.string());
        note(folder_.take_notes());
    });
}

void TrainingRun::note(const std::vector<std::string>& notes) {
    for (const std::string& text : notes) line_.note(text);
}

bool TrainingRun::due(int64_t every, int64_t step) const {
    return every > 0 && (step % every == 0 || step == schedule_.steps);
}

/// Whether something follows the step that must see the states as the step leaves them.
bool TrainingRun::pauses_after(int64_t step) const {
    return due(schedule_.evaluate_every, step) || due(schedule_.checkpoint_every, step) ||
           step - first_ == options_.trace_steps || step + 1 == options_.profile_first || step == options_.profile_last;
}

void TrainingRun::after_step(int signal) {
    report();
    profile_from(step_ + 1);
    if (options_.trace_steps > 0 && step_ - first_ <= options_.trace_steps) trace();
    if (due(schedule_.evaluate_every, step_)) meter_->leave_out([this] { task_.evaluate(*metrics_); });
    if (finished() || due(schedule_.checkpoint_every, step_) || signal != 0) save();
    if (finished() || signal == 0) return;
    line_.note(fmt::format("interrupted after step {}; its checkpoint is written", step_));
    throw Interrupted{signal};
}

void TrainingRun::report() {
    const TrainingSpeed speed = meter_->speed(task_.seconds_waited());
    const bool log = due(schedule_.log_every, step_);
    StepProgress progress = task_.progress(speed);
    progress.step = step_;
    progress.steps = schedule_.steps;
    progress.mfu = speed.mfu;
    progress.seconds_left = static_cast<double>(schedule_.steps - step_) / speed.steps_per_second;
    line_.show(progress, due(schedule_.show_every > 0 ? schedule_.show_every : schedule_.log_every, step_));
    if (!log) return;
    metrics_->write(task_.end_interval(speed));
    meter_->next_interval(task_.seconds_waited());
}

void TrainingRun::save() {
    meter_->leave_out([this] {
        metrics_->sync();
        CheckpointWriter writer(folder_, step_);
        task_.save(writer.path());
        checkpoint_ = writer.commit().path;
        folder_.prune(schedule_.keep_last, schedule_.keep_every);
        note(folder_.take_notes());
        if (options_.after_checkpoint) note(options_.after_checkpoint());
    });
}

/// Clocks the first options_.trace_steps steps of this process and writes them to trace.json.
void TrainingRun::trace() {
    const std::vector<Executor*> executors = task_.executors();
    const int64_t done = step_ - first_;
    if (done == 0)
        for (Executor* executor : executors) executor->clock(true, true);
    if (done < options_.trace_steps) return;
    write_trace(folder_.path() / "trace.json", std::vector<const Executor*>(executors.begin(), executors.end()));
    for (Executor* executor : executors) executor->clock(false);
}

/// Turns the profiler on before the first step it is to see, and off after the last.
void TrainingRun::profile_from(int64_t next) {
    if (next == options_.profile_first) task_.profile(true);
    if (next == options_.profile_last + 1 && options_.profile_last > 0) task_.profile(false);
}

}  // namespace dropforge
