// A training step of a task: batches of items padded to length buckets, a Program for each bucket, all over one arena,
// and the optimizer's update.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/memory_plan.h"
#include "finetune/evaluation/task_batch.h"
#include "model/task_heads/task_head.h"
#include "model/training/optimizer_runner.h"
#include "model/training/trained_states.h"
#include "model/training/training_step.h"

namespace dropforge {

struct TaskStepOptions {
    int64_t batch = 0, micro_batch = 0;  // items a step at most, items at a time
    int64_t sequences = 1;               // of an item
    std::vector<int64_t> lengths = {};   // of the buckets that occur
    DType dtype = DType::f32;
    OptimizerOptions optimizer = {};
    std::vector<kernels::Segment> segments = {};  // that are trained
    int64_t frozen = 0;                           // BuildOptions::frozen: their backward pass is left out
    uint64_t seed = 0;                            // of dropout
};

class TaskStep {
  public:
    /// Everything must outlive this. Values are all 0: load them, then call store_states(). The activation arena has at
    /// least `arena_bytes`, for evaluations between steps.
    TaskStep(const Parameters& parameters, const TaskHeadPointer& head, const TaskStepOptions& options,
             const kernels::KernelTable& table, int64_t arena_bytes);

    /// Of an activation arena in which the Programs for the longest bucket run.
    static int64_t arena_bytes(const Parameters& parameters, const TaskHeadPointer& head,
                               const TaskStepOptions& options);

    TrainedStates& states() { return states_; }
    // TrainedStates::fetch() and store(), waited for.
    void fetch_states();
    void store_states();

    /// Queues the pass over a batch of items, padded to `length`, a bucket's, and the update from it. The loss is the
    /// mean over the weights of the batch, however it is cut into micro-batches. A loss or gradient norm that is not
    /// finite changes nothing. Error unless may_queue().
    void queue(const TaskLabeller& labeller, std::span<const tasks::Item* const> items, int64_t length, int32_t pad,
               const StepSettings& settings);
    /// The result of the oldest step that was queued and not yet collected; waits for it.
    StepOutcome collect();
    bool may_queue() const { return queued_ < (context_->on_host() ? 1 : kAhead); }

    std::vector<kernels::KernelChoice> kernel_choices() const { return context_->choices(); }
    std::vector<std::string> take_notes() { return context_->take_notes(); }
    Resources resources() const { return states_.resources(arena_); }

  private:
    static constexpr int64_t kAhead = 2;  // steps that may be queued

    /// The Programs of one length.
    struct Bucket {
        Bucket(const Parameters& parameters, const TaskHeadPointer& head, const TaskStepOptions& options,
               int64_t length);

        PlannedProgram first;                        // of a step
        std::optional<PlannedProgram> accumulating;  // for the other micro-batches, where there are any
        std::optional<Staging> io = {};
        std::optional<Executor> run_first = {}, run_accumulating = {};
        int64_t runs = 0;  // that were begun
    };
    struct Queued {
        StepSettings settings;
        const Bucket* bucket;
        int64_t run;    // of its last micro-batch
        double weight;  // of its losses
        int64_t items;
    };

    void prepare(Bucket& bucket);
    void stage(const Bucket& bucket, const TaskLabeller& labeller, std::span<const tasks::Item* const> items,
               int64_t length, int32_t pad);

    const TaskStepOptions options_;
    const int64_t micro_batches_ = (options_.batch + options_.micro_batch - 1) / options_.micro_batch;
    const kernels::KernelTable& table_;
    std::unique_ptr<kernels::Context> context_;
    TrainedStates states_;
    std::map<int64_t, Bucket> buckets_;  // by length
    Buffer arena_;
    PlannedProgram update_program_;
    std::optional<OptimizerRunner> update_;
    data::Batch tokens_;  // of the micro-batch that is being staged
    TaskLabels labels_;
    Queued steps_[kAhead];  // that are queued, the oldest at begin_
    int64_t begin_ = 0, queued_ = 0;
};

}  // namespace dropforge
