// Options of the CUDA backend's contexts, without CUDA's headers.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// The kernels of attention. `automatic`: cuDNN's where it is installed and passes our checks, else our own; `cudnn` or
/// `own`: always these (f32 has only our own). The environment variable DROPFORGE_ATTENTION (auto, cudnn, own)
/// overrides it.
enum class AttentionUse : uint8_t { automatic, cudnn, own };

struct CudaOptions {
    /// GEMMs of f32 on TF32 tensor cores: much faster, operands rounded to 10 bits of fraction.
    bool tf32 = false;
    AttentionUse attention = AttentionUse::automatic;
};

}  // namespace dropforge::kernels::on_cuda
