#include "model/training/trained_states.h"

#include "model/network/names.h"
#include "model/training/bindings.h"

namespace dropforge {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

int64_t copy_bytes(const Parameters& parameters, DType dtype) {
    return dtype == DType::f32 ? 0 : parameters.size() * static_cast<int64_t>(size_of(dtype));
}

}  // namespace

TrainedStates::TrainedStates(const Parameters& parameters, DType dtype, const kernels::KernelTable& table,
                             kernels::Context& context)
    : parameters_(parameters),
      dtype_(dtype),
      table_(table),
      context_(context),
      values_(parameters.size() * kFloat, context),
      gradients_(parameters.size() * kFloat, context),
      moment1_(parameters.size() * kFloat, context),
      moment2_(parameters.size() * kFloat, context),
      loss_scale_(dtype == DType::fp16 ? static_cast<int64_t>(sizeof(kernels::LossScale)) : 0, context),
      copy_(copy_bytes(parameters, dtype), context) {
    if (kernels::LossScale* scale = loss_scale()) *scale = {};
}

int64_t TrainedStates::bytes(const Parameters& parameters, DType dtype) {
    return parameters.size() * 4 * kFloat + copy_bytes(parameters, dtype);
}

void TrainedStates::fetch() {
    for (const Mirrored* state : {&values_, &gradients_, &moment1_, &moment2_, &loss_scale_}) state->fetch();
}

void TrainedStates::store() {
    for (const Mirrored* state : {&values_, &moment1_, &moment2_, &loss_scale_}) state->store();
    if (copy_.bytes() > 0)
        table_.cast({.from = values_.device(),
                     .to = copy_.as<>(),
                     .n = parameters_.size(),
                     .from_dtype = DType::f32,
                     .to_dtype = dtype_},
                    context_);
}

Resources TrainedStates::resources(const Buffer& arena) const {
    return {.values = values_.device<float>(),
            .copy = copy_.as<uint16_t>(),
            .arena = arena.as<>(),
            .arena_bytes = arena.bytes(),
            .context = &context_,
            .table = &table_};
}

void TrainedStates::bind(Executor& executor) const {
    bind_parameters(executor, parameters_, values_.device<float>(), copy_.as<uint16_t>(), gradients_.device<float>());
    const std::pair<const char*, void*> arenas[] = {
        {names::kParameters, values_.device()}, {names::kGradients, gradients_.device()},
        {names::kMoment1, moment1_.device()},   {names::kMoment2, moment2_.device()},
        {names::kCopy, copy_.as<>()},           {names::kLossScale, loss_scale_.device()}};
    for (const auto& [name, pointer] : arenas) bind_if_named(executor, name, pointer);
}

}  // namespace dropforge
