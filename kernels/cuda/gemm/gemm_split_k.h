// The split-K factors that a GEMM tries. `bench predict` uses the same limit.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// The largest split-K factor worth a trial for c[m,n] summed over k. Each part keeps at least 512 of k: shorter ones
/// lose more to prologue, epilogue and the partial sums' way through memory than idle SMs cost. 1 where c has several
/// tiles for each SM anyway.
constexpr int64_t max_split_k(int64_t m, int64_t n, int64_t k) {
    constexpr int64_t kMost = 16, kLeastDepth = 512, kManyElements = 512 * 128 * 128;
    if (m * n > kManyElements || k < 2 * kLeastDepth) return 1;
    return k / kLeastDepth < kMost ? k / kLeastDepth : kMost;
}

}  // namespace dropforge::kernels::on_cuda
