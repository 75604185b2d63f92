// Sums over rows in a fixed order, in two stages: each block of kernels/blocks.h's row blocks leaves the sums of its
// rows in scratch, then add_partials adds up the blocks in order.
#pragma once

#include "kernels/blocks.h"
#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

constexpr int kSumWarps = 8;  // warps of a block of the first stage

/// The rows first … last-1 of this warp. Row blocks, and the warps' shares of a block, are contiguous, so that terms
/// that cancel in neighbouring rows cancel early.
struct RowRange {
    __device__ explicit RowRange(int64_t rows) {
        const int64_t begin = rows * blockIdx.y / gridDim.y, size = rows * (blockIdx.y + 1) / gridDim.y - begin;
        first = begin + size * threadIdx.y / kSumWarps;
        last = begin + size * (threadIdx.y + 1) / kSumWarps;
    }
    int64_t first, last;
};

/// Calls read(i, item) and then use(item) for i < count in order, reading kAtOnce items before the first of them is
/// used: a plain loop of unknown length waits for each read.
template <typename Item, int kAtOnce, typename Read, typename Use>
__device__ inline void read_ahead(int count, Read&& read, Use&& use) {
    int first = 0;
    for (; first + kAtOnce <= count; first += kAtOnce) {
        Item item[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) read(first + i, item[i]);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) use(item[i]);
    }
#pragma unroll 1
    for (; first < count; ++first) {
        Item item;
        read(first, item);
        use(item);
    }
}

/// Adds up the values of the kSumWarps warps of a block for N columns a lane, in order of the warps, and calls
/// f(i, total) for each column i of a lane, in one thread.
template <int N, typename F>
__device__ inline void for_sums_of_warps(const float (&sum)[N], F&& f) {
    DROPFORGE_SHARED(float, of_warp, [kSumWarps][N][kWarp]);  // lanes side by side: no bank conflicts
    const int lane = threadIdx.x, warp = threadIdx.y;
#pragma unroll
    for (int i = 0; i < N; ++i) of_warp[warp][i][lane] = sum[i];
    __syncthreads();
    for (int i = warp; i < N; i += kSumWarps) {  // the warps share the N columns of a lane
        float total = 0;
#pragma unroll
        for (int w = 0; w < kSumWarps; ++w) total += of_warp[w][i][lane];
        f(i, total);
    }
}
/// Ends the first stage: writes partials[column + i], where a lane has N columns from `column` on, and each warp has
/// the sums of its share of the rows.
template <int N>
__device__ inline void add_warps(const float (&sum)[N], int64_t column, int64_t columns, float* partials) {
    for_sums_of_warps<N>(sum, [&](int i, float total) {
        if (column + i < columns) partials[column + i] = total;
    });
}

/// The grid and the block of the first stage.
inline LaunchShape sum_shape(int64_t columns, int64_t blocks, int pack, const char* file = __builtin_FILE(),
                             unsigned line = __builtin_LINE()) {
    return {dim3(blocks_for(columns, int64_t{kWarp} * pack), static_cast<unsigned>(blocks)), dim3(kWarp, kSumWarps),
            file, line};
}

/// The outputs of the second stage: up to three sums whose partials lie next to each other.
struct ColumnSums {
    float* to[3];  // [columns] or nullptr
    int count;
};
/// to[s][c] (+)= Σ over blocks of partials[(block * count + s) * columns + c].
void add_partials(const float* partials, int64_t blocks, int64_t columns, ColumnSums sums, bool accumulate,
                  Context& context);

}  // namespace dropforge::kernels::on_cuda
