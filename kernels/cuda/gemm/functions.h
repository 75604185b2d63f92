// The CUDA backend's GEMM; kernels/kernels.h says what it computes. A call queues kernels on the context's stream; the
// first call of a shape also selects them.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// GEMM by the kernel that gemm_plans.h selects: cuBLASLt's, or our own.
void gemm(const Gemm&, Context&);
/// GEMM by our own kernel, which takes any operands and is slow.
void gemm_small(const Gemm&, Context&);

}  // namespace dropforge::kernels::on_cuda
