// The best GEMM rate of this machine: the denominator of MFU.
#pragma once

#include "kernels/dtype.h"

namespace dropforge::kernels::on_cpu {

/// The best rate in GFLOP/s of gemm() on a large square product of the dtype, with the present number of threads. Takes
/// less than 0.3 s (on a machine that does the first product in 0.1 s).
double gemm_peak_gflops(DType dtype);

}  // namespace dropforge::kernels::on_cpu
