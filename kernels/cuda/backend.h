// What programs need of the CUDA backend, without CUDA's headers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "kernels/kernels.h"

namespace dropforge::kernels {

/// Operations that are not written yet are nullptr. Nothing of CUDA is touched before a context is made.
const KernelTable& cuda();
/// The same, but its contexts make f32 products by TF32 tensor cores (CudaOptions::tf32).
const KernelTable& cuda_tf32();

namespace on_cuda {

/// The first GPU (CUDA_VISIBLE_DEVICES says which that is), and what drives it.
struct CudaDevice {
    std::string name;
    int compute_capability = 0;  // 90: 9.0
    int64_t memory = 0, free_memory = 0;
    int64_t reserve = 0;          // bytes that a run takes beside what it plans: code of kernels, scratch of libraries
    int driver = 0, runtime = 0;  // versions of CUDA, 13000: 13.0; `driver`: the newest that the driver knows
    int multiprocessors = 0;
    double clock_mhz = 0;
    int memory_bus_bits = 0;
    double memory_gb_per_s = 0;  // two transfers a clock
};
/// Without one that can be used: nothing, and `why_not` says why in one line. Never throws.
std::optional<CudaDevice> find_cuda_device(std::string& why_not);

/// Which kernels serve attention: cuDNN's where they are there and right, else our own; or one of both throughout (f32
/// is always by our own). The environment variable DROPFORGE_ATTENTION (auto, cudnn, own) stands above this.
enum class AttentionUse : uint8_t { automatic, cudnn, own };

struct CudaOptions {
    /// f32 products by TF32 tensor cores: faster by far, operands rounded to 10 bits of fraction.
    bool tf32 = false;
    AttentionUse attention = AttentionUse::automatic;
};
/// A context on that GPU; Error if there is none.
std::unique_ptr<Context> create_context(const CudaOptions& options);

}  // namespace on_cuda
}  // namespace dropforge::kernels
