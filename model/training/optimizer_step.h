// The Program that ends a step: gradient norm, loss scale, AdamW or LAMB, and what a method adds.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "engine/program.h"
#include "model/network/parameters.h"

namespace dropforge {

namespace ops {

enum class Optimizer : uint8_t { adamw, lamb };
struct Update {
    Tensor parameters, gradients, moment1, moment2;  // f32 arenas
    Tensor copy;                                     // bf16 or fp16 arena, may be absent
    Tensor norm;                                     // f32 [1], written
    Tensor scalars;                                  // kernels::UpdateScalars
    Tensor loss_scale = {}, scaled_scalars = {};  // kernels::LossScale, and the UpdateScalars that it makes: written;
                                                  // may be absent
};
/// Global gradient norm, the loss scale's step, then AdamW or LAMB. `segments` must outlive the program.
void update(Program& program, Optimizer optimizer, const Update& u, std::span<const kernels::Segment> segments);

}  // namespace ops

/// Of all updates of a run.
struct OptimizerOptions {
    ops::Optimizer kind = ops::Optimizer::adamw;
    float weight_decay = 0.01f, beta1 = 0.9f, beta2 = 0.98f, epsilon = 1e-6f;
    float clip = 1.0f;  // global norm of the gradient; 0: off
};

/// Gradient norm and update of the arenas parameters, gradients, moment1, moment2 [size], copy (of 16 bits), by the
/// input update_scalars; output gradient_norm [1]. In fp16 also of loss_scale; output scaled_scalars. `also`, if given,
/// adds further ops that read the norm. `segments` must outlive the program.
Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments,
                       const std::function<void(Program&, Tensor norm)>& also = {});

}  // namespace dropforge
