// What a context of the CUDA backend can be asked for, without CUDA's headers.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// Which kernels serve attention: cuDNN's where they are there and right, else our own; or one of both throughout (f32
/// is always by our own). The environment variable DROPFORGE_ATTENTION (auto, cudnn, own) stands above this.
enum class AttentionUse : uint8_t { automatic, cudnn, own };

struct CudaOptions {
    /// f32 products by TF32 tensor cores: faster by far, operands rounded to 10 bits of fraction.
    bool tf32 = false;
    AttentionUse attention = AttentionUse::automatic;
};

}  // namespace dropforge::kernels::on_cuda
