// The best GEMM rate of a device: the denominator of MFU.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels {

/// The best rate in GFLOP/s of the table's gemm on large square matrices of random numbers of the dtype, smaller ones
/// where little memory is free; on the host with the present number of threads. Takes less than 0.3 s where the first
/// GEMM takes 0.1 s.
double gemm_peak_gflops(const KernelTable& table, DType dtype);

}  // namespace dropforge::kernels
