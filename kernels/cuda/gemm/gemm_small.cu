// GEMM where cuBLASLt has no algorithm: operands at odd addresses, k = 0.
#include "kernels/cuda/gemm/functions.h"
#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

constexpr int kTile = 32;
/// A warp a row of the tile, four rows a thread: as many loads in flight, with few registers, so that blocks enough
/// are resident to hide them.
constexpr int kThreads = 256;
constexpr int kRows = kThreads / kWarp, kEach = kTile / kRows;

/// A tile [32 rows, 32 of the sum] of op(x), 0 beyond its ends; columns of the tile are one apart in banks either way.
template <typename T>
__device__ inline void load_gemm_tile(float (&tile)[kTile][kTile + 1], const T* x, int64_t rows, int64_t terms,
                                      int64_t ld, bool transposed, int64_t row0, int64_t term0) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
    for (int i = warp; i < kTile; i += kRows) {  // the lanes of a warp read what lies side by side
        const int64_t row = row0 + (transposed ? lane : i), term = term0 + (transposed ? i : lane);
        const int64_t at = transposed ? term * ld + row : row * ld + term;
        const float value = row < rows && term < terms ? static_cast<float>(x[at]) : 0.0f;
        (transposed ? tile[lane][i] : tile[i][lane]) = value;
    }
}

template <typename T, typename Out>
__global__ void __launch_bounds__(kThreads)
    gemm_small_kernel(const T* __restrict__ a, const T* __restrict__ b, Out* c, const float* __restrict__ bias,
                      int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, int64_t tiles_n,
                      bool transpose_a, bool transpose_b, bool accumulate) {
    DROPFORGE_SHARED(float, left, [kTile][kTile + 1]);
    DROPFORGE_SHARED(float, right, [kTile][kTile + 1]);
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
    const int64_t i0 = int64_t{blockIdx.x} / tiles_n * kTile, j0 = int64_t{blockIdx.x} % tiles_n * kTile;
    float sum[kEach] = {};
    for (int64_t l0 = 0; l0 < k; l0 += kTile) {
        load_gemm_tile(left, a, m, k, lda, transpose_a, i0, l0);
        load_gemm_tile(right, b, n, k, ldb, !transpose_b, j0, l0);
        __syncthreads();
#pragma unroll 8
        for (int l = 0; l < kTile; ++l)
#pragma unroll
            for (int r = 0; r < kEach; ++r) sum[r] = fmaf(left[warp + r * kRows][l], right[lane][l], sum[r]);
        __syncthreads();
    }
    const int64_t j = j0 + lane;
    if (j >= n) return;
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
        const int64_t i = i0 + warp + r * kRows;
        if (i >= m) return;
        float value = sum[r] + (bias != nullptr ? bias[j] : 0.0f);
        if (accumulate) value += static_cast<float>(c[i * ldc + j]);
        c[i * ldc + j] = static_cast<Out>(value);
    }
}

void gemm_small(const Gemm& g, Context& context) {
    const int64_t tiles_m = (g.m + kTile - 1) / kTile, tiles_n = (g.n + kTile - 1) / kTile;
    with_device_type(g.dtype, [&](auto in_type) {
        with_device_type(g.out, [&](auto out_type) {
            using T = typename decltype(in_type)::type;
            using Out = typename decltype(out_type)::type;
            if constexpr (std::is_same_v<T, Out> || std::is_same_v<Out, float>)
                launch(gemm_small_kernel<T, Out>, context, {blocks_for(tiles_m * tiles_n, 1), kThreads},
                       static_cast<const T*>(g.a), static_cast<const T*>(g.b), static_cast<Out*>(g.c), g.bias, g.m, g.n,
                       g.k, g.lda, g.ldb, g.ldc, tiles_n, g.transpose_a, g.transpose_b, g.accumulate);
        });
    });
}

}  // namespace dropforge::kernels::on_cuda
