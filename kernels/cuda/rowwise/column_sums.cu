// Column sums of a matrix, and the second stage of all sums over rows.
#include "kernels/cuda/rowwise/column_sums.cuh"

#include "kernels/cuda/rowwise/functions.h"

namespace dropforge::kernels::on_cuda {

/// Adds up the partial sums of a column. There are at most a few hundred, so latency counts: each of eight warps takes
/// every eighth block.
__global__ void __launch_bounds__(kWarp* kSumWarps)
    partials_kernel(const float* __restrict__ partials, int blocks, int64_t columns, ColumnSums sums, bool accumulate) {
    DROPFORGE_SHARED(float, of_warp, [kSumWarps][kWarp]);
    const int64_t column = int64_t{blockIdx.x} * kWarp + threadIdx.x;
    float* to = blockIdx.y == 0 ? sums.to[0] : blockIdx.y == 1 ? sums.to[1] : sums.to[2];
    if (!to) return;  // all threads of the block
    float sum = 0;
    if (column < columns) {
#pragma unroll 8
        for (int b = static_cast<int>(threadIdx.y); b < blocks; b += kSumWarps)
            sum += partials[(int64_t{b} * sums.count + blockIdx.y) * columns + column];
    }
    of_warp[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y != 0 || column >= columns) return;
    float total = 0;
#pragma unroll
    for (int w = 0; w < kSumWarps; ++w) total += of_warp[w][threadIdx.x];
    to[column] = accumulate ? to[column] + total : total;
}

void add_partials(const float* partials, int64_t blocks, int64_t columns, ColumnSums sums, bool accumulate,
                  Context& context) {
    launch(partials_kernel, context,
           {dim3(blocks_for(columns, kWarp), static_cast<unsigned>(sums.count)), dim3(kWarp, kSumWarps)}, partials,
           blocks, columns, sums, accumulate);
}

/// A warp reads 512 bytes of a row. At 40 registers a thread, six blocks fit on an SM: 24 KiB of reads in
/// flight, enough to hide the latency of memory.
template <typename T, int N>
__global__ void __launch_bounds__(kWarp* kSumWarps)
    column_sum_kernel(const T* __restrict__ x, float* partials, int64_t rows, int64_t columns, int64_t stride) {
    const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N;
    const RowRange range(rows);
    float sum[N] = {};
    if (column < columns) {
        for (int64_t row = range.first; row < range.last; ++row) {
            float value[N];
            load<N>(x + row * stride + column, value);
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] += value[i];
        }
    }
    add_warps<N>(sum, column, columns, partials + int64_t{blockIdx.y} * columns);
}

void column_sum(const ColumnSum& c, Context& context) {
    const int64_t blocks = device_column_blocks(c.rows);
    auto* partials = static_cast<float*>(c.scratch);
    with_device_type(c.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        const bool whole_packs = c.columns % kPack<T> == 0;
        with_pack<T>(whole_packs ? c.stride : 1, {c.x}, [&](auto pack) {
            launch(column_sum_kernel<T, pack()>, context, sum_shape(c.columns, blocks, pack()),
                   static_cast<const T*>(c.x), partials, c.rows, c.columns, c.stride);
        });
    });
    add_partials(partials, blocks, c.columns, {{c.sum}, 1}, c.accumulate, context);
}

}  // namespace dropforge::kernels::on_cuda
