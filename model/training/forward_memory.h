// What a forward pass runs on: borrowed from a training step, or of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/buffer.h"
#include "kernels/kernels.h"
#include "model/network/parameters.h"

namespace dropforge {

/// Memory and backend that a forward pass borrows. Pointers are of the context's memory; `copy` is nullptr in f32.
struct Resources {
    float* values;  // the parameters' arena
    uint16_t* copy;
    void* arena;
    int64_t arena_bytes;
    kernels::Context* context;
    const kernels::KernelTable* table;
};

/// Resources for forward passes that have none to borrow: a context, an arena, and what the backend needs of the
/// parameters' values.
class ForwardMemory {
  public:
    /// `values` is host memory, which must outlive this.
    ForwardMemory(const Parameters& parameters, const float* values, DType dtype, int64_t arena_bytes,
                  const kernels::KernelTable& table);

    const Resources& resources() const { return resources_; }

  private:
    std::unique_ptr<kernels::Context> context_;
    Buffer arena_, values_, copy_;
    Resources resources_;
};

}  // namespace dropforge
