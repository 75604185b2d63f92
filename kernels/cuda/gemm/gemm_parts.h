// Into how many parts the sum over k of a product is cut where it has few tiles. `bench predict` goes by it too.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// Parts that are worth a trial for c[m,n]: at most as many as make no part's sum so short that its start and end, and
/// its way through memory, weigh more than a multiprocessor that is idle. 1 where there are several tiles for each
/// multiprocessor anyway.
constexpr int64_t most_parts(int64_t m, int64_t n, int64_t k) {
    constexpr int64_t kMost = 16, kLeastDepth = 512, kManyElements = 512 * 128 * 128;
    if (m * n > kManyElements || k < 2 * kLeastDepth) return 1;
    return k / kLeastDepth < kMost ? k / kLeastDepth : kMost;
}

}  // namespace dropforge::kernels::on_cuda
