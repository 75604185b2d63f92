// The levels that the CPU kernels are compiled for, and the one that this process uses.
#pragma once

#include <span>
#include <string>

#include "kernels/kernels.h"

namespace dropforge::kernels {

/// Instruction sets in ascending order; a level includes those below it.
enum class CpuLevel {
    baseline,     // whatever the compiler takes for the processor's family: SSE2 on x86-64, NEON on aarch64
    avx2,         // with FMA, F16C, BMI2
    avx512,       // F, BW, VL, DQ
    avx512_bf16,  // with bf16 dot products
    amx_bf16      // with tile registers of bf16
};
const char* name_of(CpuLevel level);

/// The levels that this CPU can run, in ascending order: the baseline, and on x86-64 those that CPUID and the operating
/// system report.
std::span<const CpuLevel> cpu_levels();
/// The level of cpu(): the highest of cpu_levels(), or the one that DROPFORGE_CPU names. Error if this CPU lacks that.
CpuLevel cpu_level();
/// The kernels of `level`, which is one of cpu_levels().
const KernelTable& cpu(CpuLevel level);

/// Whether this CPU's GEMM is faster in bf16 than in f32 at `level`: in AMX's registers by far, by VDPBF16PS on AMD's
/// CPUs, but not on Intel's (docs/experiments.md).
bool bf16_is_faster(CpuLevel level);

/// The level for people: "avx2", or "avx2 of baseline, avx2, avx512, as DROPFORGE_CPU asks".
std::string cpu_level_text();

}  // namespace dropforge::kernels
