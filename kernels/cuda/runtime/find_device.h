// Whether there is a GPU that can be used, and which, without CUDA's headers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace dropforge::kernels::on_cuda {

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

}  // namespace dropforge::kernels::on_cuda
