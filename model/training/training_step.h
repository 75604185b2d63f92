// Everything one training step needs, made once: arenas, Programs for every kind of step and for the update, one
// activation arena for all of them. A step allocates nothing.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/batches/batch.h"
#include "engine/executor.h"
#include "engine/staging.h"
#include "model/training/forward_pass.h"
#include "model/training/optimizer_runner.h"
#include "model/training/step_programs.h"
#include "model/training/trained_states.h"

namespace dropforge {

/// Results of one step, over the whole batch: by the names of Method::sources(). Losses and counts of hits are sums, in
/// nats; means are taken by who reads them.
struct StepResult {
    double loss = 0;  // what is differentiated
    NamedNumbers numbers = {};

    double operator[](std::string_view name) const { return numbers[name]; }
};

/// Which step, and what its update is.
struct StepSettings {
    int64_t step = 0;  // counts from 1 and selects the dropout
    StepKind kind = StepKind::dense;
    double learning_rate = 0;
};

/// A step that is done.
struct StepOutcome {
    StepSettings settings;
    StepInfo info;
    StepResult result;
    double gradient_norm;
    std::optional<double> loss_scale;  // of its gradients, in fp16: halved after a norm that is not finite
};

class TrainingStep {
  public:
    /// `parameters` must outlive this. Values are all 0: initialize or load them, then call store_states(). The
    /// activation arena has at least `arena_bytes`, for other Programs that run in turn with the step's.
    TrainingStep(const Parameters& parameters, std::shared_ptr<const StepPrograms> programs,
                 const kernels::KernelTable& table, int64_t arena_bytes = 0);
    TrainingStep(const Parameters& parameters, StepPrograms programs, const kernels::KernelTable& table)
        : TrainingStep(parameters, std::make_shared<const StepPrograms>(std::move(programs)), table) {}

    TrainedStates& states() { return states_; }
    float* values() { return states_.values(); }
    float* gradients() { return states_.gradients(); }
    float* moment1() { return states_.moment1(); }
    float* moment2() { return states_.moment2(); }
    /// Of the method's states. Set them before the first step.
    std::span<float> state(std::string_view name);
    // TrainedStates::fetch() and store(), waited for, and the method's states with them.
    void fetch_states();
    void store_states();

    /// Queues losses and gradients of a batch of options.batch sequences and the optimizer's update from them. A
    /// gradient norm that is not finite changes nothing. Error unless may_queue(): a device works ahead of the host by
    /// a step, the host itself does a step at once.
    void queue(const data::Batch& batch, const StepSettings& settings);
    /// The results of the oldest step that was queued and not yet collected; waits for it.
    StepOutcome collect();
    int64_t queued() const { return queued_; }
    bool may_queue() const { return queued_ < (context_->on_host() ? 1 : kAhead); }

    /// Losses and gradients alone, and the update alone: waited for. No step may be queued.
    StepResult backward(const data::Batch& batch, int64_t step, StepKind kind = StepKind::dense);
    /// The optimizer's update number `step` from the gradients, and that of the method's states. Gives the gradient
    /// norm.
    double update(int64_t step, double learning_rate);
    /// What the last backward() left in that output of its Programs, of all micro-batches one after the other; empty if
    /// they have none. E.g. position_loss f32 [batch*masked], unreduced.
    template <typename T>
    std::vector<T> output(std::string_view name) const {
        std::vector<T> all;
        if (!programs_->of(backward_kind_).first.program.has(name)) return all;
        for (int64_t ago = micro_batches_; ago-- > 0;) {
            const std::span<const T> one = pass_io_.at<T>(name, ago);
            all.insert(all.end(), one.begin(), one.end());
        }
        return all;
    }

    const StepPrograms& programs() const { return *programs_; }
    /// Which kernels serve the operations that have run.
    std::vector<kernels::KernelChoice> kernel_choices() const { return context_->choices(); }
    /// kernels::Context::take_notes().
    std::vector<std::string> take_notes() { return context_->take_notes(); }
    /// Of every Program, the update's last.
    std::vector<Executor*> executors();
    /// Steps from now on (or no longer) are what a profiler that waits for them is to see, op by op under their names.
    /// No step may be queued.
    void profile(bool on);
    /// What a forward pass between steps may borrow; the arena has at least `arena_bytes` of the constructor.
    Resources resources() const { return states_.resources(arena_); }

  private:
    static constexpr int64_t kAhead = 2;  // steps that may be queued

    struct Runners {
        Executor first;
        std::optional<Executor> accumulating;
    };

    Executor executor(const PlannedProgram& planned);
    /// A state of the method.
    struct NamedState {
        const char* name;
        Mirrored values;
    };
    struct NamedBuffer {
        const char* name;
        Buffer values;
    };

    void bind_states(Executor& executor);
    void bind_pass(Executor& executor);
    void check_bindings();
    void queue_backward(const data::Batch& batch, const StepInfo& info);
    void fill_inputs(const data::Batch& batch, int64_t first, const StepInfo& info);
    StepInfo info_of(const data::Batch& batch, const StepSettings& settings) const;
    StepResult result(const StepInfo& info, int64_t ago);

    std::shared_ptr<const StepPrograms> programs_;
    const StepOptions& options_ = programs_->options;
    const int64_t micro_batches_ = options_.batch / options_.micro_batch;
    const kernels::KernelTable& table_;
    std::unique_ptr<kernels::Context> context_;
    TrainedStates states_;
    std::vector<NamedState> method_states_;
    const std::vector<StepResultSource> sources_ = options_.method->sources(options_.heads);
    std::vector<NamedBuffer> accumulators_;
    Buffer arena_;
    Staging pass_io_;
    std::vector<Runners> runners_;  // as programs_->passes
    std::optional<OptimizerRunner> update_;
    struct Queued {
        StepSettings settings;
        StepInfo info;
    };
    Queued steps_[kAhead];  // that are queued, the oldest at begin_
    int64_t begin_ = 0, queued_ = 0;
    StepKind backward_kind_ = programs_->passes.front().kind;  // of the last backward()
};

}  // namespace dropforge
