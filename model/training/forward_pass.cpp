#include "model/training/forward_pass.h"

#include "base/error.h"
#include "model/network/names.h"
#include "model/training/bindings.h"

namespace dropforge {

ForwardPass::ForwardPass(const Parameters& parameters, PlannedProgram program, const float* values, DType dtype,
                         const kernels::KernelTable& table, const Method* method)
    : planned_(std::move(program)), method_(method) {
    memory_.emplace(parameters, values, dtype, planned_.plan.bytes, table);
    prepare(parameters, memory_->resources());
}

ForwardPass::ForwardPass(const Parameters& parameters, PlannedProgram program, const Resources& r, const Method* method)
    : planned_(std::move(program)), method_(method) {
    prepare(parameters, r);
}

void ForwardPass::prepare(const Parameters& parameters, const Resources& r) {
    require(planned_.plan.bytes <= r.arena_bytes, "{}: needs an arena of {} bytes, there are {}",
            planned_.program.name(), planned_.plan.bytes, r.arena_bytes);
    io_.emplace(*r.context, std::vector<const Program*>{&planned_.program},
                [](std::string_view name) { return !names_parameter(name); });
    executor_.emplace(planned_.program, planned_.plan, r.arena, *r.table, *r.context);
    bind_parameters(*executor_, parameters, r.values, r.copy, nullptr);
    io_->bind(*executor_);
    std::set<std::string_view> given = batch_names();
    const auto own = method_ == nullptr ? std::vector<std::string>() : method_->input_names(StepKind::dense);
    given.insert(own.begin(), own.end());
    io_->require_given(planned_.program, given);
    executor_->require_bound();
}

void ForwardPass::run(const data::Batch& batch, int64_t first) {
    const auto rows = static_cast<int64_t>(io_->at<int32_t>(names::kInputIds).size());
    io_->begin();
    stage_batch(*io_, batch, first, rows / batch.length);
    if (method_ != nullptr) stage_method_inputs(*io_, *method_, {}, batch, first, rows / batch.length);
    io_->run(*executor_);
    io_->finish();
}

}  // namespace dropforge
