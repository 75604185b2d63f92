#include "kernels/cpu_level.h"

#include <fmt/format.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernels/cpu_tables.h"

namespace dropforge::kernels {

namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512", "avx512_bf16", "amx_bf16"};

#ifdef __x86_64__
/// Whether the CPU has AMX for bf16, and Linux (5.16) gives this process the registers, whose 8 KiB it would otherwise
/// not save for it.
bool has_tiles_of_bf16() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24;
    if ((edx & kBf16) == 0 || (edx & kTile) == 0) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool runs(CpuLevel level) {
    switch (level) {  // __builtin_cpu_supports also checks which registers the operating system saves
        case CpuLevel::baseline:
            return true;
        case CpuLevel::avx2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                   __builtin_cpu_supports("bmi2");
        case CpuLevel::avx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
        case CpuLevel::avx512_bf16:
            return __builtin_cpu_supports("avx512bf16");
        case CpuLevel::amx_bf16:
            return has_tiles_of_bf16();
    }
    return false;
}
bool made_by_intel() { return __builtin_cpu_is("intel"); }
#else
bool runs(CpuLevel level) { return level == CpuLevel::baseline; }
bool made_by_intel() { return false; }
#endif

const std::vector<CpuLevel>& levels() {
    static const std::vector<CpuLevel> found = [] {
        std::vector<CpuLevel> all;
        for (const CpuLevel level :
             {CpuLevel::baseline, CpuLevel::avx2, CpuLevel::avx512, CpuLevel::avx512_bf16, CpuLevel::amx_bf16}) {
            if (!runs(level)) break;  // a level includes those below it
            all.push_back(level);
        }
        return all;
    }();
    return found;
}

std::string names(std::span<const CpuLevel> levels) {
    std::string text;
    for (const CpuLevel level : levels) text += fmt::format("{}{}", text.empty() ? "" : ", ", name_of(level));
    return text;
}

const char* requested_name() {
    const char* name = std::getenv("DROPFORGE_CPU");
    return name && *name ? name : nullptr;
}

CpuLevel chosen_level() {
    const char* name = requested_name();
    if (!name) return levels().back();
    const auto found =
        std::ranges::find_if(levels(), [&](CpuLevel level) { return std::string_view(name_of(level)) == name; });
    if (found != levels().end()) return *found;
    const bool known = std::ranges::find(kNames, std::string_view(name)) != std::end(kNames);
    throw Error("DROPFORGE_CPU={}: {}; this CPU has {}", name,
                known ? "this CPU lacks that level" : "there is no such level", names(levels()));
}

}  // namespace

const char* name_of(CpuLevel level) { return kNames[static_cast<size_t>(level)]; }

std::span<const CpuLevel> cpu_levels() { return levels(); }

CpuLevel cpu_level() {
    static const CpuLevel level = chosen_level();
    return level;
}

bool bf16_is_faster(CpuLevel level) {
    return level == CpuLevel::amx_bf16 || (level == CpuLevel::avx512_bf16 && !made_by_intel());
}

std::string cpu_level_text() {
    if (!requested_name()) return name_of(cpu_level());
    return fmt::format("{} of {}, as DROPFORGE_CPU asks", name_of(cpu_level()), names(levels()));
}

const KernelTable& cpu(CpuLevel level) {
#ifdef __x86_64__
    if (level == CpuLevel::avx2) return cpu_avx2();
    if (level == CpuLevel::avx512) return cpu_avx512();
    if (level == CpuLevel::avx512_bf16) return cpu_avx512_bf16();
    if (level == CpuLevel::amx_bf16) return cpu_amx_bf16();
#endif
    require(level == CpuLevel::baseline, "this program has no CPU kernels for {}", name_of(level));
    return cpu_baseline();
}

const KernelTable& cpu() {
    static const KernelTable& table = cpu(cpu_level());
    return table;
}

}  // namespace dropforge::kernels
