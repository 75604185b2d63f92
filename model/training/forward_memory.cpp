#include "model/training/forward_memory.h"

namespace dropforge {

ForwardMemory::ForwardMemory(const Parameters& parameters, const float* values, DType dtype, int64_t arena_bytes,
                             const kernels::KernelTable& table)
    : context_(table.create_context()),
      arena_(arena_bytes, *context_),
      copy_(dtype == DType::f32 ? 0 : parameters.size() * static_cast<int64_t>(size_of(dtype)), *context_),
      resources_{.values = const_cast<float*>(values),  // a forward pass reads the parameters only
                 .copy = copy_.as<uint16_t>(),
                 .arena = arena_.as<>(),
                 .arena_bytes = arena_bytes,
                 .context = context_.get(),
                 .table = &table} {
    if (!context_->on_host()) {
        values_ = Buffer(parameters.size() * static_cast<int64_t>(sizeof(float)), *context_);
        context_->upload(values_.as<>(), values, values_.bytes());
        resources_.values = values_.as<float>();
    }
    if (copy_.bytes() > 0)
        table.cast({.from = resources_.values,
                    .to = copy_.as<>(),
                    .n = parameters.size(),
                    .from_dtype = DType::f32,
                    .to_dtype = dtype},
                   *context_);
    context_->synchronize();
}

}  // namespace dropforge
