// The search for a usable GPU, without CUDA's headers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dropforge::kernels::on_cuda {

/// The first GPU that CUDA_VISIBLE_DEVICES leaves, and the versions of its driver and runtime.
struct CudaDevice {
    std::string name;
    int compute_capability = 0;  // 90: 9.0
    int64_t memory = 0, free_memory = 0;
    int64_t reserve = 0;          // bytes that a run takes beyond its plan: code of kernels, workspace of libraries
    int driver = 0, runtime = 0;  // versions of CUDA (13000: 13.0); `driver` is the newest that the driver supports
    int sm_count = 0;
    double clock_mhz = 0;
    int memory_bus_bits = 0;
    double memory_gb_per_s = 0;  // two transfers a clock
};
/// The GPU, or nothing with the reason in `why_not`, in one line. Never throws.
std::optional<CudaDevice> find_cuda_device(std::string& why_not);

}  // namespace dropforge::kernels::on_cuda
