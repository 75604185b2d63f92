// A task as what a training run trains.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "finetune/evaluation/result.h"
#include "finetune/plan.h"
#include "model/run/training_run.h"

namespace dropforge {

/// Steps over epochs of a task's items, an evaluation after each, and what they left so far. Of the epoch that would be
/// kept if the run ended now, the folder .epoch-N of the run has all that is written of a run.
class TaskTraining : public TrainingTask {
  public:
    /// `plan`, with config.train.seed that of this run, and `line` must outlive this.
    TaskTraining(const FinetuneOptions& options, const FinetunePlan& plan, const fs::path& out, ProgressLine& line);

    void initialize() override;
    int64_t restore(const fs::path& checkpoint) override;
    void save(const fs::path& folder) override;

    bool may_queue() const override { return step_.may_queue(); }
    void queue(int64_t step) override;
    StepOutcome collect() override;

    StepProgress progress(const TrainingSpeed& speed) const override;
    MetricsLine end_interval(const TrainingSpeed& speed) override;
    void evaluate(MetricsLog& log) override;

    std::vector<kernels::KernelChoice> kernel_choices() const override { return step_.kernel_choices(); }
    std::vector<std::string> take_notes() override { return step_.take_notes(); }

    SeedResult result() const;
    /// Moves the kept epoch's files to the run's folder. A second call moves what a first one did not.
    void publish() const;

  private:
    /// What is of the run so far, beside weights and moments.
    struct State {
        int64_t step = 0;
        double seconds = 0;  // of steps, without the first two of a process
        int64_t items = 0;   // in these
        double loss = 0;     // sum over the interval, and its steps
        int64_t steps = 0;
        std::vector<size_t> examples = {};  // of the interval, with log.examples
        std::vector<EpochResult> epochs = {};
    };

    const std::vector<size_t>& batch_of(int64_t step);
    int64_t epoch_of(int64_t step) const { return (step - 1) / plan_.steps_per_epoch() + 1; }
    fs::path folder_of(int64_t epoch) const { return out_ / fmt::format(".epoch-{}", epoch); }
    int64_t kept() const { return epoch_to_keep(state_.epochs, plan_.config.eval.keep); }
    void measure(double began, size_t items);
    /// Throws Error that names the step.
    TaskEvaluation evaluation_of(const TaskLogits& logits) const;
    void write_epoch(const TaskEvaluation& evaluation, const TaskLogits& logits);
    void remove_other_epochs() const;
    std::string state_text() const;
    void read_state(const std::string& text, const std::string& where);

    const FinetuneOptions& options_;
    const FinetunePlan& plan_;
    const fs::path out_;
    ProgressLine& line_;
    TaskStep step_;
    TaskPredictor predictor_;
    const TaskLabeller labeller_;
    const Schedule schedule_;
    const std::vector<int64_t> lengths_;
    int64_t epoch_ = 0;  // whose batches these are
    std::vector<std::vector<size_t>> batches_;
    std::vector<const tasks::Item*> items_;  // of the step that is being queued
    struct InFlight {
        double began;  // seconds
        size_t items;
        std::vector<size_t> examples;  // which items, with log.examples
    };
    std::vector<InFlight> in_flight_;  // steps that are queued, the oldest first
    int64_t timed_ = 0;                // steps that this process has collected
    double last_collected_ = 0;        // seconds
    StepOutcome last_ = {};
    State state_;
};

}  // namespace dropforge
