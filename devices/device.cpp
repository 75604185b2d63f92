#include "devices/device.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <map>
#include <sstream>
#include <utility>

#include "base/cores.h"
#include "base/error.h"
#include "base/system_files.h"
#include "kernels/cpu_level.h"

namespace dropforge {

namespace {

int64_t kilobytes(const std::map<std::string, std::string>& fields, const std::string& key) {
    const auto found = fields.find(key);
    return found == fields.end() ? 0 : first_number(found->second).value_or(0) * 1024;
}

/// Narrows `info` to one control group's limit; its file cache counts as available.
void apply_limit(MemoryInfo& info, const fs::path& folder, const char* limit_file, const char* usage_file,
                 const char* cache_key) {
    const auto limit = first_number(system_text(folder / limit_file)),
               usage = first_number(system_text(folder / usage_file));
    if (!limit) return;
    info.total = std::min(info.total, *limit);
    std::istringstream lines(system_text(folder / "memory.stat"));
    int64_t cache = 0, value = 0;
    for (std::string key; lines >> key >> value;)
        if (key == cache_key) cache = value;
    info.available = std::clamp<int64_t>(*limit - usage.value_or(0) + cache, 0, info.available);
}

// Memory of a process beyond a run's plan: code and libraries; a stack and packed operands for each thread.
constexpr int64_t kProgramBytes = 32'000'000, kThreadBytes = 8'000'000;
constexpr int kOwnThreads = 1;  // that do not compute: the loader's

/// Bytes that a run may still plan under a shell's limits (ulimit -v, ulimit -d) with a thread for each of `cores`.
/// These limits count reservations: glibc reserves 8 MiB for a thread's stack, and 64 MiB of addresses for its heap.
int64_t left_of_limits(int cores) {
    const auto status = system_fields(system_text("/proc/self/status"));
    int64_t left = std::numeric_limits<int64_t>::max();
    for (const auto& [resource, used] : {std::pair{RLIMIT_AS, "VmSize"}, {RLIMIT_DATA, "VmData"}}) {
        rlimit limit{};
        if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) continue;
        const int64_t thread = (resource == RLIMIT_AS ? int64_t{72} : int64_t{8}) << 20;
        left = std::clamp<int64_t>(
            static_cast<int64_t>(limit.rlim_cur) - kilobytes(status, used) - (cores + kOwnThreads) * thread, 0, left);
    }
    return left;
}

}  // namespace

CpuInfo cpu_info(const fs::path& root) {
    auto cpu = system_fields(system_text(root / "proc/cpuinfo"));  // of the first processor
    return {cpu.contains("model name") ? cpu["model name"] : "unknown CPU", usable_cores(root)};
}

MemoryInfo memory_info(const fs::path& root) {
    const auto memory = system_fields(system_text(root / "proc/meminfo"));
    MemoryInfo info{kilobytes(memory, "MemTotal"), kilobytes(memory, "MemAvailable")};
    for (const fs::path& folder : control_groups(root, ""))
        apply_limit(info, folder, "memory.max", "memory.current", "inactive_file");
    for (const fs::path& folder : control_groups(root, "memory"))
        apply_limit(info, folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
    return info;
}

bool computes(const Device& device, DType dtype) {
    const bool gpu = device.kind == "cuda";
    return dtype == DType::fp16 ? gpu : dtype != DType::bf16 || device.bf16 || !gpu;
}

void require_computes(const Device& device, DType dtype) {
    if (computes(device, dtype)) return;
    if (dtype == DType::fp16) throw Error("fp16 is for CUDA devices: the CPU computes in bf16 or f32");
    throw Error("bf16 needs compute capability 8.0, this GPU has {}.{}: it computes in fp16 or f32",
                device.compute_capability / 10, device.compute_capability % 10);
}

Device cpu_device() {
    const CpuInfo cpu = cpu_info();
    return {.model = fmt::format("{} ({})", cpu.model, kernels::name_of(kernels::cpu_level())),
            .text = fmt::format("{}, {} cores, kernels for {}", cpu.model, cpu.cores, kernels::cpu_level_text()),
            .bf16 = kernels::bf16_is_faster(kernels::cpu_level()),
            .available = std::min(memory_info().available, left_of_limits(cpu.cores)),
            .reserve = kProgramBytes + cpu.cores * kThreadBytes};
}

Device with_tf32(Device device, DType dtype) {
    require(dtype == DType::f32, "--tf32 is for GEMMs of f32 numbers: add --precision f32");
    require(device.tf32 != nullptr,
            "--tf32 needs a GPU of compute capability 8.0 or more (--device cuda), the run is on the {}: {}",
            device.kind, device.text);
    device.kernels = device.tf32;
    return device;
}

int64_t peak_rss_bytes() {
    // Not getrusage first: its maximum survives exec, so a small program started by a large one would report the large
    // one's.
    const int64_t peak = kilobytes(system_fields(system_text("/proc/self/status")), "VmHWM");
    if (peak > 0) return peak;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace dropforge
