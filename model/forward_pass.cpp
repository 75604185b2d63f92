#include "model/forward_pass.h"

#include "model/bindings.h"

namespace dropforge {

ForwardPass::ForwardPass(const Parameters& parameters, PlannedProgram program, const float* values, DType dtype,
                         const kernels::KernelTable& table)
    : planned_(std::move(program)),
      arena_(planned_.plan.bytes),
      copy_(dtype == DType::f32 ? 0 : parameters.size() * static_cast<int64_t>(sizeof(bf16))),
      context_(table.create_context()) {
    if (copy_.bytes() > 0) table.cast({values, copy_.as<>(), parameters.size(), DType::f32, dtype}, *context_);
    executor_.emplace(planned_.program, planned_.plan, arena_.as<>(), table, *context_);
    // A forward pass reads the parameters only.
    bind_parameters(*executor_, parameters, const_cast<float*>(values), copy_.as<bf16>(), nullptr);
}

ForwardPass::ForwardPass(const Parameters& parameters, PlannedProgram program, const Resources& r)
    : planned_(std::move(program)) {
    executor_.emplace(planned_.program, planned_.plan, r.arena, *r.table, *r.context);
    bind_parameters(*executor_, parameters, r.values, r.copy, nullptr);
}

void ForwardPass::run(const data::Batch& batch, int64_t first) {
    bind_batch(*executor_, batch, first);
    executor_->run();
}

}  // namespace dropforge
