// The two GEMMs of the CPU backend; gemm.cpp says which serves which call.
#pragma once

#include "kernels/cpu/context.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cpu {

/// Whether this build has a blocked kernel for the dtype (AVX-512; for bf16 also AVX512-BF16).
bool gemm_blocked_supports(DType dtype);
/// Our own: packed panels, 8 x 48 register tiles. Every output element is one sum in order of k, whatever the number of
/// threads.
void gemm_blocked(const Gemm& g, CpuContext& context);
/// oneDNN's matmul primitive, cached per shape. Throws Error if oneDNN has no implementation for the shape on this
/// machine.
void gemm_onednn(const Gemm& g, CpuContext& context);

}  // namespace dropforge::kernels::on_cpu
