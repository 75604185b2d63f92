// Runs the optimizer's Program, step by step.
#pragma once

#include <optional>

#include "engine/executor.h"
#include "engine/staging.h"
#include "model/training/optimizer_step.h"

namespace dropforge {

class OptimizerRunner {
  public:
    /// `executor`: of optimizer_step(), bound to the states. `runs` updates can be unread at a time.
    OptimizerRunner(Executor executor, const OptimizerOptions& options, kernels::Context& context, int64_t runs);

    /// Queues update number `step`, which counts from 1.
    void queue(int64_t step, double learning_rate);
    /// Waits for the last update queued, or for the one `ago` before it.
    void finish(int64_t ago = 0) const { io_.finish(ago); }

    // Of an update that is finished.
    double gradient_norm(int64_t ago = 0) const;
    /// In fp16: what its gradients were multiplied with.
    std::optional<double> loss_scale(int64_t ago = 0) const;

    Executor& executor() { return executor_; }

  private:
    Executor executor_;
    const OptimizerOptions options_;
    Staging io_;
};

}  // namespace dropforge
