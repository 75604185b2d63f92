// The CUDA backend as a choice among others, and whether it can be taken; without CUDA's headers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/kernels.h"

namespace dropforge::kernels {

/// Operations that are not written yet are nullptr. Nothing of CUDA is touched before a context is made.
const KernelTable& cuda();

/// The first GPU (CUDA_VISIBLE_DEVICES says which that is), and what drives it.
struct CudaDevice {
    std::string name;
    int compute_capability = 0;  // 90: 9.0
    int64_t memory = 0, memory_free = 0;
    int driver = 0, runtime = 0;  // versions of CUDA, 13000: 13.0; `driver`: the newest that the driver knows
    int multiprocessors = 0;
    double clock_mhz = 0;
    int memory_bus_bits = 0;
    double memory_gb_per_s = 0;  // two transfers a clock

    /// Whether products of bf16 numbers are made in hardware.
    bool bf16() const { return compute_capability >= 80; }
    /// "NVIDIA H100 80GB HBM3, 132 multiprocessors, compute capability 9.0, 85.0 GB at 3352 GB/s, driver for
    /// CUDA 13.0".
    std::string text() const;
};
/// Without one that can be used: nothing, and `why_not` says why in one line. Never throws.
std::optional<CudaDevice> find_cuda_device(std::string& why_not);

}  // namespace dropforge::kernels
