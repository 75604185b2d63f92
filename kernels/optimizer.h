// The operations of the optimizer: a part of kernels/kernels.h, with the same conventions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dtype.h"

namespace dropforge::kernels {

/// A Hugging Face tensor inside the flat parameter arena, and the unit of LAMB's trust ratio.
struct Segment {
    int64_t offset, size;  // elements
    bool decay;            // whether weight decay and LAMB's ratio apply: not to biases and LayerNorm parameters
    float rate = 1;        // a factor of the learning rate, as rates that differ from layer to layer have it
};
/// norm[0] = L2 norm of the gradients of all segments, added in double in a fixed order.
struct GlobalNorm {
    const float* gradients;
    std::span<const Segment> segments;
    float* norm;
    void* scratch;
};
int64_t global_norm_scratch_bytes(std::span<const Segment> segments);
/// The state of a dynamic loss scale, in device memory. Where activations are fp16, the losses' gradients are
/// multiplied by `scale`, so that small ones stay above fp16's smallest numbers, and the update divides by it
/// (Micikevicius et al. 2018, section 3.2). It grows and shrinks as PyTorch's torch.amp.GradScaler does by default.
struct LossScale {
    static constexpr float kLeast = 1;
    static constexpr int32_t kGrowthInterval = 2000;

    float scale = 65536;
    int32_t streak = 0;   // finite gradient norms since the scale changed
    int32_t updates = 0;  // updates made: those of finite norms

    /// The state after a step: half the scale if gradients overflowed, twice after kGrowthInterval steps without.
    constexpr LossScale after(bool finite_norm) const {
        if (!finite_norm) return {.scale = scale > 2 * kLeast ? scale / 2 : kLeast, .streak = 0, .updates = updates};
        if (streak + 1 < kGrowthInterval) return {.scale = scale, .streak = streak + 1, .updates = updates + 1};
        return {.scale = scale < 0x1p127f ? scale * 2 : scale, .streak = 0, .updates = updates + 1};
    }
};
/// *gradient_scale times the loss scale, if there is one.
constexpr float scaled(const float* gradient_scale, const float* loss_scale) {
    return loss_scale ? *gradient_scale * *loss_scale : *gradient_scale;
}
/// The scalars of an update, in device memory, so that they change from step to step without a new Program.
struct UpdateScalars {
    float learning_rate, weight_decay, beta1, beta2, epsilon;
    float correction1, correction2;  // 1 - beta^t
    float clip;                      // gradients are multiplied by min(1, clip / norm); 0 = off
    float gradient_factor = 1;       // gradients are also multiplied by this: 1 / loss scale
};
/// The step of a loss scale, between gradient norm and update. The norm is divided by the scale; `scalars` become the
/// host's with gradient_factor = 1 / scale and with corrections for the number of updates made, which leaves out steps
/// whose norm was not finite; the scale is updated.
struct LossScaleStep {
    float* norm;                 // [1]
    const UpdateScalars* given;  // by the host
    UpdateScalars* scalars;      // for the update
    LossScale* state;
};
/// AdamW (Loshchilov & Hutter 2019) or LAMB (You et al. 2020, algorithm 2, unclamped ratio) over flat arenas:
/// docs/algorithms.md, "Optimizers".
/// If the norm is not finite, nothing changes. Segments are disjoint.
struct Update {
    float* parameters;  // master weights
    const float* gradients;
    float *moment1, *moment2;
    void* copy;         // rounded parameters for the GEMMs, written in the same pass; or nullptr
    DType copy_dtype;   // bf16 or fp16, if there is a copy
    const float* norm;  // [1]
    const UpdateScalars* scalars;
    std::span<const Segment> segments;
    void* scratch;  // LAMB only
};
int64_t lamb_scratch_bytes(std::span<const Segment> segments);

}  // namespace dropforge::kernels
