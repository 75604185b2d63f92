// The tables of kernels/cpu, which is compiled once for each level (CMakeLists.txt). Of each only this function is a
// global symbol: what else its files contain, inline functions of shared headers too, is local to it, so that no code
// of one level runs at another.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels {

const KernelTable& cpu_baseline();
const KernelTable& cpu_avx2();
const KernelTable& cpu_avx512();
const KernelTable& cpu_avx512_bf16();

}  // namespace dropforge::kernels
