// Everything one training step needs, made once: arenas, Programs for the first and the further micro-batches and for
// the update, one activation arena for all of them. A step allocates nothing.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/batch.h"
#include "engine/executor.h"
#include "engine/memory_plan.h"
#include "model/bert.h"
#include "model/forward_pass.h"
#include "model/parameters.h"

namespace dropforge {

struct StepOptions {
    int64_t batch = 0, micro_batch = 0;  // sequences an optimizer step, sequences at a time (divides batch)
    int64_t sequence = 0, masked = 0;    // S, M
    bool types = false, lengths = false, next_sentence = false;  // what the batches have
    DType dtype = DType::f32;
    ops::Optimizer optimizer = ops::Optimizer::adamw;
    float weight_decay = 0.01f, beta1 = 0.9f, beta2 = 0.98f, epsilon = 1e-6f, clip = 1.0f;
    uint64_t seed = 0;  // of dropout
};

/// Sums over a whole step; means are taken by who reads them.
struct StepResult {
    double mlm_loss = 0, mlm_count = 0, mlm_correct = 0;  // sum of losses in nats, masked positions, hits
    double nsp_loss = 0, nsp_count = 0;
    double gradient_norm = 0;  // before clipping

    double loss() const { return mlm_loss / std::max(mlm_count, 1.0) + nsp_loss / std::max(nsp_count, 1.0); }
};

/// The Programs of a recipe and their plans: known before anything is allocated.
struct StepPrograms {
    StepPrograms(const Parameters& parameters, const StepOptions& options);

    StepOptions options;
    std::vector<kernels::Segment> segments;
    Program first, further, update;  // the first micro-batch, the others, the optimizer step
    MemoryPlan first_plan, further_plan, update_plan;

    int64_t arena_bytes() const;
    int64_t arena_lower_bound() const;
    /// Executed in an optimizer step, counted as in docs/algorithms.md: GEMMs and attention.
    double flops() const;
};

/// Bytes of parameters, gradients, moments and the bf16 copy.
int64_t state_bytes(const Parameters& parameters, DType dtype);

class TrainingStep {
  public:
    /// `parameters` must outlive this. Values are all 0: initialize or load them, then call weights_changed(). The
    /// activation arena has at least `arena_bytes`, for other Programs that run in turn with the step's.
    TrainingStep(const Parameters& parameters, StepPrograms programs, const kernels::KernelTable& table,
                 int64_t arena_bytes = 0);

    float* values() { return values_.as<float>(); }
    float* gradients() { return gradients_.as<float>(); }
    float* moment1() { return moment1_.as<float>(); }
    float* moment2() { return moment2_.as<float>(); }
    /// Refreshes the bf16 copy after values() was written from outside.
    void weights_changed();

    /// Losses and gradients of a batch of options.batch sequences; `step` counts from 1 and selects the dropout.
    StepResult backward(const data::Batch& batch, int64_t step);
    /// The optimizer's update number `step` from the gradients; a norm that is not finite changes nothing. Gives the
    /// gradient norm.
    double update(int64_t step, double learning_rate);
    /// Unreduced MLM losses of the last backward [batch*masked].
    std::span<const float> position_loss() const { return position_loss_; }

    const StepPrograms& programs() const { return programs_; }
    /// First micro-batch, further ones, update.
    std::array<Executor*, 3> executors() { return {&*first_, &*further_, &*update_}; }
    /// What a forward pass between steps may borrow; the arena has at least `arena_bytes` of the constructor.
    Resources resources() { return {values(), copy_.as<bf16>(), arena_.as<>(), context_.get(), &table_}; }

  private:
    void bind_outputs(Executor& executor);
    void bind_micro_batch(Executor& executor, const data::Batch& batch, int64_t first);

    StepPrograms programs_;
    const StepOptions& options_ = programs_.options;
    const kernels::KernelTable& table_;
    std::unique_ptr<kernels::Context> context_;
    Buffer values_, gradients_, moment1_, moment2_, copy_, arena_;
    std::optional<Executor> first_, further_, update_;
    // Inputs and outputs of the Programs in host memory.
    std::vector<int32_t> loss_rows_, masked_rows_, cls_row_;
    std::vector<float> position_loss_;
    float mlm_scale_ = 0, nsp_scale_ = 0, norm_ = 0;
    float mlm_totals_[3] = {}, nsp_totals_[3] = {};
    uint32_t dropout_state_[4] = {};
    kernels::UpdateScalars scalars_{};
};

}  // namespace dropforge
