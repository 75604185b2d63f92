// What the report before a run says of this machine: cores, arithmetic, memory. Linux: from /proc and the control
// groups.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"

namespace dropforge {

struct CpuInfo {
    std::string model;  // as the system names it; "unknown CPU" if it does not
    int physical_cores =
        1;  // that this process may use: affinity mask, hyper-threads counted once, control group's quota rounded up
    bool bf16 = false;  // bf16 dot products in hardware: AVX512-BF16, AMX-BF16, or Arm's bf16; else they are emulated,
                        // slower than f32
};

/// Bytes. A control group's limit counts where it is below the machine's.
struct MemoryInfo {
    int64_t total = 0;
    int64_t available = 0;  // without pushing anything out: free memory and file caches that can be dropped
};

/// `root`: where /proc and /sys are found, for tests. What cannot be read keeps the values above.
CpuInfo cpu_info(const fs::path& root = "/");
MemoryInfo memory_info(const fs::path& root = "/");

/// The most memory that this process has had at once, in bytes.
int64_t peak_rss_bytes();

}  // namespace dropforge
