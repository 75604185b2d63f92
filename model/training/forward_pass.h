// A forward-only Program (evaluation, hidden states, logits) with what it needs to run: its own memory, or that of a
// training step.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "data/batches/batch.h"
#include "engine/executor.h"
#include "engine/memory_plan.h"
#include "engine/staging.h"
#include "model/methods/method.h"
#include "model/network/parameters.h"
#include "model/training/forward_memory.h"

namespace dropforge {

class ForwardPass {
  public:
    /// Owns its memory (ForwardMemory). `values`, in host memory, and `method` must outlive this.
    ForwardPass(const Parameters& parameters, PlannedProgram program, const float* values, DType dtype,
                const kernels::KernelTable& table, const Method* method = nullptr);
    /// Borrows everything. Error if the arena is too small.
    ForwardPass(const Parameters& parameters, PlannedProgram program, const Resources& resources,
                const Method* method = nullptr);

    const Program& program() const { return planned_.program; }
    const MemoryPlan& plan() const { return planned_.plan; }
    /// Runs the batch's sequences from `first` on, as many as the program was built for, and waits.
    void run(const data::Batch& batch, int64_t first = 0);
    /// What the program has left in a caller-owned tensor of that name.
    template <typename T>
    std::span<const T> output(std::string_view name) const {
        return io_->at<T>(name);
    }

  private:
    void prepare(const Parameters& parameters, const Resources& resources);

    PlannedProgram planned_;
    const Method* method_;  // whose inputs the Program may have; nullptr: of none
    std::optional<ForwardMemory> memory_;
    std::optional<Staging> io_;
    std::optional<Executor> executor_;
};

}  // namespace dropforge
