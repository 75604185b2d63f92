// Everything one training step needs, made once: arenas, Programs for every kind of step and for the update, one
// activation arena for all of them. A step allocates nothing.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "data/batch.h"
#include "engine/executor.h"
#include "model/forward_pass.h"
#include "model/step_programs.h"

namespace dropforge {

/// Results of one step, over the whole batch. Losses and hits are sums; means are taken by who reads them.
struct StepResult {
    double loss = 0;                                      // what is differentiated
    double mlm_loss = 0, mlm_count = 0, mlm_correct = 0;  // in nats, masked positions, hits; of the pass with dropped
                                                          // tokens, or the only one
    double nsp_loss = 0, nsp_count = 0;
    double mlm_loss_full = 0, nsp_loss_full = 0;  // of an align step's full pass
    double kl_local = 0, kl_global = 0;           // of an align step: normalised, without λ
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
    /// The value of each token id [V] where tokens are dropped, else empty. Set it before the first step.
    std::span<float> importance() { return importance_; }
    /// Refreshes the bf16 copy after values() was written from outside.
    void weights_changed();

    /// Losses and gradients of a batch of options.batch sequences; `step` counts from 1 and selects the dropout.
    /// `lambda`: weight of the divergences of an align step.
    StepResult backward(const data::Batch& batch, int64_t step, StepKind kind = StepKind::dense, double lambda = 0);
    /// The optimizer's update number `step` from the gradients, and the importance table's; a norm that is not finite
    /// changes nothing. Gives the gradient norm.
    double update(int64_t step, double learning_rate);
    /// Unreduced MLM losses of the last backward [batch*masked], of the pass with dropped tokens or the only one.
    std::span<const float> position_loss() const { return position_loss_; }
    /// Positions that stayed in the last step that dropped tokens [batch, programs().kept()], ascending in each
    /// sequence.
    std::span<const int32_t> kept_positions() const { return kept_positions_; }

    const StepPrograms& programs() const { return programs_; }
    /// Of every Program, the update's last.
    std::vector<Executor*> executors();
    /// What a forward pass between steps may borrow; the arena has at least `arena_bytes` of the constructor.
    Resources resources() { return {values(), copy_.as<bf16>(), arena_.as<>(), context_.get(), &table_}; }

  private:
    struct Runners {
        Executor first;
        std::optional<Executor> further;
    };

    Executor executor(const PlannedProgram& planned);
    void prepare_inputs(const Parameters& parameters);
    void bind_arrays(Executor& executor);
    void bind_micro_batch(Executor& executor, const data::Batch& batch, int64_t first);
    void set_scales(StepKind kind, double count, double lambda);
    StepResult result(StepKind kind, double lambda) const;

    StepPrograms programs_;
    const StepOptions& options_ = programs_.options;
    const kernels::KernelTable& table_;
    std::unique_ptr<kernels::Context> context_;
    Buffer values_, gradients_, moment1_, moment2_, copy_, arena_;
    std::vector<Runners> runners_;  // as programs_.passes
    std::optional<Executor> update_;
    // Inputs and outputs of the Programs in host memory.
    std::vector<float> importance_, importance_sums_, importance_counts_;
    std::vector<int32_t> loss_rows_, masked_rows_, cls_row_, kept_positions_;
    std::vector<float> position_loss_, kl_local_, kl_global_;
    int64_t kept_ = 0;
    float mlm_scale_ = 0, nsp_scale_ = 0, kl_scale_ = 0, norm_ = 0;
    float mlm_totals_[3] = {}, nsp_totals_[3] = {}, mlm_totals_full_[3] = {}, nsp_totals_full_[3] = {};
    uint32_t dropout_state_[4] = {};
    kernels::UpdateScalars scalars_{};
};

}  // namespace dropforge
