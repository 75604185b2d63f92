// The operations of the optimizer, part of kernels/kernels.h, whose conventions hold here.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dtype.h"

namespace dropforge::kernels {

/// A Hugging Face tensor inside the flat parameter arena: LAMB's trust ratio is taken over one.
struct Segment {
    int64_t offset, size;  // elements
    bool decay;            // weight decay (and LAMB's ratio) applies: not to biases and LayerNorm parameters
};
/// norm[0] = L2 norm of the gradients of all segments; fixed order, double accumulation.
struct GlobalNorm {
    const float* gradients;
    std::span<const Segment> segments;
    float* norm;
    void* scratch;
};
int64_t global_norm_scratch_bytes(std::span<const Segment> segments);
/// The state of a dynamic loss scale, in device memory. Where gradients are fp16, losses' are multiplied by `scale`, so
/// that small ones stay above fp16's smallest numbers; the update divides by it (Micikevicius et al. 2018,
/// section 3.2). It moves as PyTorch's torch.amp.GradScaler moves its own by default.
struct LossScale {
    static constexpr float kLeast = 1;
    static constexpr int32_t kGrowthInterval = 2000;

    float scale = 65536;
    int32_t streak = 0;   // finite gradient norms since it last changed
    int32_t updates = 0;  // that were taken: those of the finite norms

    /// The state after a step: half the scale where gradients overflowed, twice after many where they did not.
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
/// What an update needs from the host, in device memory: changes at every step without a new Program.
struct UpdateScalars {
    float learning_rate, weight_decay, beta1, beta2, epsilon;
    float correction1, correction2;  // 1 - beta^t
    float clip;                      // gradients are multiplied by min(1, clip / norm); 0 = off
    float gradient_factor = 1;       // and by this: 1 / loss scale
};
/// Between gradient norm and update: the norm becomes that of gradients without the loss scale, the update gets the
/// scalars that the host asks for with its gradient_factor and the corrections for the updates that were taken (those
/// after a norm that is not finite were not), and the loss scale moves on.
struct LossScaleStep {
    float* norm;  // [1]
    const UpdateScalars* asked;
    UpdateScalars* scalars;
    LossScale* state;
};
/// AdamW (Loshchilov & Hutter 2019) or LAMB (You et al. 2020, algorithm 2, unclamped ratio) over flat arenas:
/// docs/algorithms.md, "Optimizers".
/// A norm that is not finite leaves everything as it was. Segments are disjoint.
struct Update {
    float* parameters;  // master weights
    const float* gradients;
    float *moment1, *moment2;
    void* copy;         // rounded parameters for the GEMMs, refreshed in the same pass; nullptr: none
    DType copy_dtype;   // bf16 or fp16, if there is a copy
    const float* norm;  // [1]
    const UpdateScalars* scalars;
    std::span<const Segment> segments;
    void* scratch;  // LAMB only
};
int64_t lamb_scratch_bytes(std::span<const Segment> segments);

}  // namespace dropforge::kernels
