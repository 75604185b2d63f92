// What optimizer steps change, in device memory with its mirror on the host: parameters, gradients, moments, the 16-bit
// copy that GEMMs read, and the loss scale of fp16.
#pragma once

#include <vector>

#include "engine/buffer.h"
#include "engine/executor.h"
#include "model/network/parameters.h"
#include "model/training/forward_memory.h"

namespace dropforge {

class TrainedStates {
  public:
    /// All 0, the loss scale at its start. `table` and `context` must outlive this.
    TrainedStates(const Parameters& parameters, DType dtype, const kernels::KernelTable& table,
                  kernels::Context& context);

    /// Bytes of them all.
    static int64_t bytes(const Parameters& parameters, DType dtype);

    // In host memory: what fetch() brought, and what store() takes. Where kernels work on host memory these are the
    // states themselves, and the two functions copy nothing.
    float* values() { return values_.host<float>(); }
    float* gradients() { return gradients_.host<float>(); }
    float* moment1() { return moment1_.host<float>(); }
    float* moment2() { return moment2_.host<float>(); }
    /// In fp16; else nullptr. The gradients that fetch() brings carry the scale.
    kernels::LossScale* loss_scale() { return has_loss_scale() ? loss_scale_.host<kernels::LossScale>() : nullptr; }
    bool has_loss_scale() const { return loss_scale_.bytes() > 0; }

    // Both queue their copies; the caller waits for the context.
    void fetch();
    /// All but the gradients; makes the 16-bit copy anew.
    void store();

    /// Binds those that the executor's Program names: arenas, and each parameter.
    void bind(Executor& executor) const;

    /// What a forward pass between steps may borrow, with an arena of the same context.
    Resources resources(const Buffer& arena) const;

  private:
    const Parameters& parameters_;
    const DType dtype_;
    const kernels::KernelTable& table_;
    kernels::Context& context_;
    Mirrored values_, gradients_, moment1_, moment2_, loss_scale_;
    Buffer copy_;
};

}  // namespace dropforge
