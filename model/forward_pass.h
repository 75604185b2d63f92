// A forward-only Program (evaluation, hidden states, logits) with what it needs to run: its own memory, or that of a
// training step.
#pragma once

#include <memory>
#include <optional>

#include "data/batch.h"
#include "engine/executor.h"
#include "engine/memory_plan.h"
#include "model/parameters.h"

namespace dropforge {

/// Memory and backend that a forward pass borrows. `copy` is nullptr in f32.
struct Resources {
    float* values;  // the parameters' arena
    bf16* copy;
    void* arena;  // at least the plan's bytes
    kernels::Context* context;
    const kernels::KernelTable* table;
};

class ForwardPass {
  public:
    /// Owns its arena, context and (in bf16) rounded copy of `values`.
    ForwardPass(const Parameters& parameters, PlannedProgram program, const float* values, DType dtype,
                const kernels::KernelTable& table = kernels::cpu());
    /// Borrows everything.
    ForwardPass(const Parameters& parameters, PlannedProgram program, const Resources& resources);

    const Program& program() const { return planned_.program; }
    const MemoryPlan& plan() const { return planned_.plan; }
    Executor& executor() { return *executor_; }
    /// Binds the batch's arrays from sequence `first` on and runs.
    void run(const data::Batch& batch, int64_t first = 0);

  private:
    PlannedProgram planned_;
    Buffer arena_, copy_;
    std::unique_ptr<kernels::Context> context_;
    std::optional<Executor> executor_;
};

}  // namespace dropforge
