// The CUDA backend's matrix product; kernels/kernels.h says what it does. It only queues kernels on the context's
// stream, but for the first call of a shape, which selects them.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// By what gemm_plans.h selects: cuBLASLt, or a kernel of our own.
void gemm(const Gemm&, Context&);
/// The same by a kernel of our own that takes any operands, and is slow.
void gemm_small(const Gemm&, Context&);

}  // namespace dropforge::kernels::on_cuda
