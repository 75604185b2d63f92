// The machine that a run uses: its cores, arithmetic and memory, on Linux from /proc and the control groups.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "kernels/kernels.h"

namespace dropforge {

struct CpuInfo {
    std::string model;  // the system's name for it, or "unknown CPU"
    int cores = 1;      // usable_cores()
};

/// Bytes of memory, within the limits of the control groups.
struct MemoryInfo {
    int64_t total = 0;
    int64_t available = 0;  // free memory, and file caches that can be dropped
};

/// `root` is the folder of /proc and /sys, for tests. Values that cannot be read keep the defaults.
CpuInfo cpu_info(const fs::path& root = "/");
MemoryInfo memory_info(const fs::path& root = "/");

/// The device that a run uses.
struct Device {
    const kernels::KernelTable* kernels = &kernels::cpu();
    std::string kind = "cpu";    // or "cuda"
    std::string model;           // the system's name for it
    std::string text;            // for people: model, cores or SMs, and the reason for the choice
    bool bf16 = false;           // whether it multiplies bf16 faster than f32; a CPU stores it in any case
    int compute_capability = 0;  // 75: 7.5; 0: not a GPU
    int64_t available = 0;       // bytes of memory that a run can use
    int64_t memory = 0;          // bytes of a GPU's memory; 0 on a CPU
    int64_t reserve = 0;         // bytes that a run takes beyond its memory plan
    const kernels::KernelTable* tf32 = nullptr;  // as `kernels`, with GEMMs of f32 by TF32; nullptr: it has no TF32
};
/// The device with GEMMs of f32 by TF32, for a model computed in `dtype`. Error if it has no TF32, or dtype is not f32.
Device with_tf32(Device device, DType dtype);
/// Error if the device cannot compute models in `dtype`: fp16 on a CPU, bf16 on a GPU without it.
void require_computes(const Device& device, DType dtype);
bool computes(const Device& device, DType dtype);
/// The CPU with the cores and the memory that this process may use.
Device cpu_device();

/// The peak resident memory of this process, in bytes.
int64_t peak_rss_bytes();

}  // namespace dropforge
