// The tables of kernels/cpu, which is compiled once for each level (cmake/cpu_levels.cmake). These functions are the
// only global symbols of a level's object: everything else, inline functions of shared headers included, is local to
// it, so that no code of one level runs at another.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels {

const KernelTable& cpu_baseline();
const KernelTable& cpu_avx2();
const KernelTable& cpu_avx512();
const KernelTable& cpu_avx512_bf16();
const KernelTable& cpu_amx_bf16();

}  // namespace dropforge::kernels
