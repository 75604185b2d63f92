#include "model/training/optimizer_runner.h"

#include <cmath>

#include "model/network/names.h"

namespace dropforge {

namespace {

/// What an update exchanges with the host: all else are states.
bool is_exchanged(std::string_view name) {
    return name == names::kGradientNorm || name == names::kUpdateScalars || name == names::kScaledScalars;
}

}  // namespace

OptimizerRunner::OptimizerRunner(Executor executor, const OptimizerOptions& options, kernels::Context& context,
                                 int64_t runs)
    : executor_(std::move(executor)), options_(options), io_(context, {&executor_.program()}, is_exchanged, runs) {
    io_.bind(executor_);
    io_.require_given(executor_.program(), {names::kUpdateScalars});
    executor_.require_bound();
}

void OptimizerRunner::queue(int64_t step, double learning_rate) {
    const OptimizerOptions& o = options_;
    const auto correction = [&](float beta) {
        return static_cast<float>(1 - std::pow(double{beta}, static_cast<double>(step)));
    };
    const kernels::UpdateScalars scalars = {.learning_rate = static_cast<float>(learning_rate),
                                            .weight_decay = o.weight_decay,
                                            .beta1 = o.beta1,
                                            .beta2 = o.beta2,
                                            .epsilon = o.epsilon,
                                            .correction1 = correction(o.beta1),
                                            .correction2 = correction(o.beta2),
                                            .clip = o.clip};
    io_.begin();
    io_.set(names::kUpdateScalars, std::span(&scalars, 1));
    io_.run(executor_);
}

double OptimizerRunner::gradient_norm(int64_t ago) const { return io_.at<float>(names::kGradientNorm, ago)[0]; }

std::optional<double> OptimizerRunner::loss_scale(int64_t ago) const {
    if (!io_.has(names::kScaledScalars)) return {};
    return 1 / io_.at<kernels::UpdateScalars>(names::kScaledScalars, ago)[0].gradient_factor;
}

}  // namespace dropforge
