// What the report before a run says of this machine: cores, arithmetic, memory. Linux: from /proc and the control
// groups.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "kernels/kernels.h"

namespace dropforge {

struct CpuInfo {
    std::string model;  // as the system names it; "unknown CPU" if it does not
    int cores = 1;      // usable_cores()
};

/// Bytes. A control group's limit counts where it is below the machine's.
struct MemoryInfo {
    int64_t total = 0;
    int64_t available = 0;  // without pushing anything out: free memory and file caches that can be dropped
};

/// `root`: where /proc and /sys are found, for tests. What cannot be read keeps the values above.
CpuInfo cpu_info(const fs::path& root = "/");
MemoryInfo memory_info(const fs::path& root = "/");

/// Where a run computes. The CUDA backend is a library of its own that only the programs link: they choose.
struct Device {
    const kernels::KernelTable* kernels = &kernels::cpu();
    std::string kind = "cpu";    // or "cuda"
    std::string model;           // as the system names it
    std::string text;            // for people: model, cores or multiprocessors, and why this device was taken
    bool bf16 = false;           // products of bf16 in hardware; without, a CPU widens bf16 to f32
    int compute_capability = 0;  // 75: 7.5; 0: not a GPU
    int64_t available = 0;       // bytes of memory that a run can have
    int64_t memory = 0;          // bytes in all where others may hold some of them (a GPU); 0: not said
    int64_t reserve = 0;         // bytes that a run takes beside what it plans
    const kernels::KernelTable* tf32 = nullptr;  // as `kernels`, f32 products by TF32; nullptr: it has none
};
/// The device with its f32 products by TF32, for a model computed in `dtype`. Error if it has none, or dtype is not
/// f32.
Device with_tf32(Device device, DType dtype);
/// Throws Error, in one line, if models cannot be computed in `dtype` there: fp16 on a CPU, bf16 on a GPU without.
void require_computes(const Device& device, DType dtype);
bool computes(const Device& device, DType dtype);
/// The CPU with the cores and the memory that this process may use.
Device cpu_device();

/// The most memory that this process has had at once, in bytes.
int64_t peak_rss_bytes();

}  // namespace dropforge
