#include "engine/device.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/cpu_level.h"

namespace dropforge {

namespace {

/// Files of the kernel say a size of 0, so they are read to their end. Empty if there is none.
std::string system_text(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string trimmed(const std::string& text) {
    const size_t first = text.find_first_not_of(" \t\n"), last = text.find_last_not_of(" \t\n");
    return first == text.npos ? "" : text.substr(first, last - first + 1);
}

/// The first number of a text; none for "max" or nothing.
std::optional<int64_t> number(const std::string& text) {
    int64_t value = 0;
    const std::string digits = trimmed(text);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return result.ec == std::errc() ? std::optional(value) : std::nullopt;
}

/// Lines "key : value" of /proc files.
std::map<std::string, std::string> fields(const std::string& text) {
    std::map<std::string, std::string> result;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (const size_t colon = line.find(':'); colon != line.npos)
            result.emplace(trimmed(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
    return result;
}

int64_t kilobytes(const std::map<std::string, std::string>& fields, const std::string& key) {
    const auto found = fields.find(key);
    return found == fields.end() ? 0 : number(found->second).value_or(0) * 1024;
}

/// Whether a CPU is in a list such as "0-3,8"; an empty list allows all.
bool listed(const std::string& list, int64_t cpu) {
    if (list.empty()) return true;
    std::istringstream parts(list);
    for (std::string part; std::getline(parts, part, ',');) {
        const size_t dash = part.find('-');
        const int64_t first = number(part).value_or(-1);
        const int64_t last = dash == part.npos ? first : number(part.substr(dash + 1)).value_or(-1);
        if (first <= cpu && cpu <= last) return true;
    }
    return false;
}

/// The folders of this process's control group and those above it, of version 2 (controller "") or one of version 1.
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller) {
    std::istringstream lines(system_text(root / "proc/self/cgroup"));  // "4:memory:/a/b" or "0::/a/b"
    for (std::string line; std::getline(lines, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == line.npos || second == line.npos) continue;
        const std::string names = fmt::format(",{},", line.substr(first + 1, second - first - 1));
        if (names.find(fmt::format(",{},", controller)) == names.npos) continue;
        const fs::path mount = root / "sys/fs/cgroup" / controller;
        std::vector<fs::path> folders;
        // In a container the path may be the host's while the mount shows only the container's own group: the mount is
        // always last.
        for (fs::path path = fs::path(line.substr(second + 1)).relative_path(); !path.empty();
             path = path.parent_path())
            folders.push_back(mount / path);
        folders.push_back(mount);
        return folders;
    }
    return {};
}

/// CPUs' worth of time that the control groups grant; none if unlimited.
std::optional<double> cpu_quota(const fs::path& root) {
    double least = std::numeric_limits<double>::infinity();
    for (const fs::path& folder : control_groups(root, "")) {  // cpu.max: "200000 100000" or "max 100000"
        const std::string text = system_text(folder / "cpu.max");
        const auto quota = number(text), period = number(text.substr(std::min(text.size(), text.find(' '))));
        if (quota && period && *period > 0)
            least = std::min(least, static_cast<double>(*quota) / static_cast<double>(*period));
    }
    for (const fs::path& folder : control_groups(root, "cpu")) {
        const auto quota = number(system_text(folder / "cpu.cfs_quota_us")),
                   period = number(system_text(folder / "cpu.cfs_period_us"));
        if (quota && period && *quota > 0 && *period > 0)
            least = std::min(least, static_cast<double>(*quota) / static_cast<double>(*period));
    }
    return std::isinf(least) ? std::nullopt : std::optional(least);
}

/// Narrows `info` to one control group's limit; its file cache counts as available.
void apply_limit(MemoryInfo& info, const fs::path& folder, const char* limit_file, const char* usage_file,
                 const char* cache_key) {
    const auto limit = number(system_text(folder / limit_file)), usage = number(system_text(folder / usage_file));
    if (!limit) return;
    info.total = std::min(info.total, *limit);
    std::istringstream lines(system_text(folder / "memory.stat"));
    int64_t cache = 0, value = 0;
    for (std::string key; lines >> key >> value;)
        if (key == cache_key) cache = value;
    info.available = std::clamp<int64_t>(*limit - usage.value_or(0) + cache, 0, info.available);
}

}  // namespace

CpuInfo cpu_info(const fs::path& root) {
    CpuInfo info{"unknown CPU"};
    const auto status = fields(system_text(root / "proc/self/status"));
    const auto allowed = status.find("Cpus_allowed_list");
    std::set<std::pair<std::string, std::string>> cores;
    std::istringstream lines(system_text(root / "proc/cpuinfo"));
    std::string block;  // of one CPU; an empty line ends it
    const auto take = [&] {
        auto cpu = fields(block);
        block.clear();
        if (!cpu.contains("processor")) return;
        const int64_t id = number(cpu["processor"]).value_or(0);
        if (cpu.contains("model name")) info.model = cpu["model name"];
        if (allowed != status.end() && !listed(allowed->second, id)) return;
        const bool topology = cpu.contains("core id");
        cores.emplace(cpu["physical id"], topology ? cpu["core id"] : cpu["processor"]);
    };
    for (std::string line; std::getline(lines, line); block += line + '\n')
        if (line.empty()) take();
    take();
    info.physical_cores = std::max(1, static_cast<int>(cores.size()));
    if (const auto quota = cpu_quota(root))
        info.physical_cores = std::clamp(static_cast<int>(std::ceil(*quota)), 1, info.physical_cores);
    return info;
}

MemoryInfo memory_info(const fs::path& root) {
    const auto memory = fields(system_text(root / "proc/meminfo"));
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
    return {
        .model = cpu.model,
        .text = fmt::format("{}, {} cores, kernels for {}", cpu.model, cpu.physical_cores, kernels::cpu_level_text()),
        .bf16 = kernels::cpu_level() == kernels::CpuLevel::avx512_bf16,
        .available = memory_info().available};
}

Device with_tf32(Device device, DType dtype) {
    require(dtype == DType::f32, "--tf32 is for products of f32 numbers: --precision f32");
    require(device.tf32 != nullptr,
            "--tf32 needs a GPU of compute capability 8.0 or more (--device cuda), the run is on the {}: {}",
            device.kind, device.text);
    device.kernels = device.tf32;
    return device;
}

int64_t peak_rss_bytes() {
    // Not getrusage first: its maximum survives exec, so a small program started by a large one would report the large
    // one's.
    const int64_t peak = kilobytes(fields(system_text("/proc/self/status")), "VmHWM");
    if (peak > 0) return peak;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace dropforge
