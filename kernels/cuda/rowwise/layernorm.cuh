// Shared by the kernels of LayerNorm and of the embeddings: the statistics of a row that a warp has, and the backward
// pass of rows whose columns threads share.
#pragma once

#include <algorithm>

#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

// ------------------------------------------------------------------------------------------------------------- forward
/// A warp has a row and, for BERT's widths, keeps it in registers between the three passes over it: no barrier, and
/// each byte is read once. Four rows a block.
constexpr int kForwardWarps = 4;

/// The lane's share of a row: packs lane, lane + 32, …; `kPacks` of them are kept in registers. With kPacks = 0 each
/// pass reloads them by again(column, values).
template <int N, int kPacks, typename Again>
class LaneRow {
  public:
    __device__ LaneRow(int64_t columns, Again again) : columns_(columns), again_(again) {}

    /// Calls f(column, values), which sets the values.
    template <typename F>
    __device__ void fill(F&& f) {
        if constexpr (kPacks > 0) {
#pragma unroll
            for (int p = 0; p < kPacks; ++p)
                if (column(p) < columns_) f(column(p), values_[p]);
        } else {
            for (int p = 0; column(p) < columns_; ++p) {
                float values[N];
                f(column(p), values);
            }
        }
    }
    /// Calls f(column, values).
    template <typename F>
    __device__ void read(F&& f) const {
        if constexpr (kPacks > 0) {
#pragma unroll
            for (int p = 0; p < kPacks; ++p)
                if (column(p) < columns_) f(column(p), values_[p]);
        } else {
            for (int p = 0; column(p) < columns_; ++p) {
                float values[N];
                again_(column(p), values);
                f(column(p), values);
            }
        }
    }

  private:
    __device__ int64_t column(int pack) const { return (int64_t{pack} * kWarp + threadIdx.x) * N; }

    int64_t columns_;
    Again again_;
    float values_[kPacks > 0 ? kPacks : 1][N];
};
template <int N, int kPacks, typename Again>
__device__ inline LaneRow<N, kPacks, Again> lane_row(int64_t columns, Again again) {
    return {columns, again};
}

struct RowMoments {
    float mean, rstd;
};
/// `total` is the sum of the lane's values. The variance is the mean of squared deviations from the mean.
template <int N, int kPacks, typename Again>
__device__ inline RowMoments moments_of(const LaneRow<N, kPacks, Again>& row, float total, int64_t row_columns,
                                        float epsilon) {
    const auto columns = static_cast<float>(row_columns);
    const float mean = warp_sum(total) / columns;
    float squares = 0;
    row.read([&](int64_t, const float(&value)[N]) {
#pragma unroll
        for (int i = 0; i < N; ++i) squares = fmaf(value[i] - mean, value[i] - mean, squares);
    });
    return {mean, 1.0f / sqrtf(warp_sum(squares) / columns + epsilon)};
}
/// gain * (z - mean) * rstd + bias of a pack of columns.
template <int N>
__device__ inline void normalize(const float (&z)[N], RowMoments m, const float* gains, const float* biases,
                                 float (&to)[N]) {
    float gain[N], bias[N];
    load<N>(gains, gain);
    load<N>(biases, bias);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = fmaf(gain[i], (z[i] - m.mean) * m.rstd, bias[i]);
}

/// Calls f(elements of an access, packs in registers): 24 or 32 values a lane for rows of up to 768 or 1024 columns,
/// which lets 16 warps or more run on an SM.
template <typename T, typename F>
void with_row_shape(int64_t columns, std::initializer_list<const void*> pointers, F&& f) {
    constexpr int pack = kPack<T>;
    using Packed = std::integral_constant<int, pack>;
    if (!aligned(16, columns * static_cast<int64_t>(sizeof(T)), pointers))
        f(std::integral_constant<int, 1>{}, std::integral_constant<int, 0>{});
    else if (columns <= 24 * kWarp)
        f(Packed{}, std::integral_constant<int, 24 / pack>{});
    else if (columns <= 32 * kWarp)
        f(Packed{}, std::integral_constant<int, 32 / pack>{});
    else
        f(Packed{}, std::integral_constant<int, 0>{});
}

// ------------------------------------------------------------------------------------------------------------ backward
// A thread keeps its columns for all rows of its group, so that the sums over rows stay in registers and are written
// once a block.
constexpr int kBackwardThreads = 512;

/// The columns of a thread: packs of N at threadIdx.x, threadIdx.x + blockDim.x, …; kPacks of them.
template <int N, int kPacks>
struct Share {
    static constexpr int kSize = N * kPacks;

    __device__ static int64_t column(int pack) { return (int64_t{pack} * blockDim.x + threadIdx.x) * N; }
    __device__ static float (&part(float (&values)[kSize], int pack))[N] {
        return *reinterpret_cast<float(*)[N]>(values + pack * N);
    }
    template <typename T>
    __device__ static void load(const T* row, int64_t columns, float (&values)[kSize]) {
#pragma unroll
        for (int p = 0; p < kPacks; ++p)
            if (column(p) < columns) on_cuda::load<N>(row + column(p), part(values, p));
    }
    template <typename T>
    __device__ static void store(T* row, int64_t columns, float (&values)[kSize]) {
#pragma unroll
        for (int p = 0; p < kPacks; ++p)
            if (column(p) < columns) on_cuda::store<N>(row + column(p), part(values, p));
    }
};

/// The sum over the threads of a group of each of the values, returned in all of them; `turn` counts the calls.
template <int kValues>
__device__ inline void group_sums(float (&value)[kValues], int turn) {
    DROPFORGE_SHARED(float, of_warp, [2][kBackwardThreads / kWarp][kValues]);
    const unsigned lane = threadIdx.x % kWarp, warps = blockDim.x / kWarp, first = threadIdx.y * warps;
#pragma unroll
    for (int v = 0; v < kValues; ++v) value[v] = warp_sum(value[v]);
    auto& sums = of_warp[turn % 2];  // two, so that one barrier is enough: no thread is two turns ahead
    if (lane == 0) {
#pragma unroll
        for (int v = 0; v < kValues; ++v) sums[first + threadIdx.x / kWarp][v] = value[v];
    }
    __syncthreads();
#pragma unroll
    for (int v = 0; v < kValues; ++v) {
        value[v] = 0;
        for (unsigned w = 0; w < warps; ++w) value[v] += sums[first + w][v];
    }
}

/// Adds up the groups in order: to[c] for the columns of the block.
template <int N, int kPacks>
__device__ inline void add_groups(const float (&sum)[N * kPacks], int64_t columns, float* to) {
    DROPFORGE_SHARED(float, of_thread, [N * kPacks][kBackwardThreads]);
    __syncthreads();  // the call before may still be reading
#pragma unroll
    for (int i = 0; i < N * kPacks; ++i) of_thread[i][threadIdx.y * blockDim.x + threadIdx.x] = sum[i];
    __syncthreads();
    for (unsigned i = threadIdx.y; i < N * kPacks; i += blockDim.y) {
        const int64_t column = Share<N, kPacks>::column(static_cast<int>(i / N)) + i % N;
        if (column >= columns) continue;
        float total = 0;
        for (unsigned g = 0; g < blockDim.y; ++g) total += of_thread[i][g * blockDim.x + threadIdx.x];
        to[column] = total;
    }
}

/// Computes, from dy and z of a row, dy * gain and (z - mean) * rstd, and adds the row's shares of the gradients of
/// gain and bias and of the row's two sums.
template <int kSize>
__device__ inline void begin_row(float (&gradient)[kSize], float (&z)[kSize], RowMoments m, const float (&gain)[kSize],
                                 float (&dgain)[kSize], float (&dbias)[kSize], float& total, float& along) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
        z[i] = (z[i] - m.mean) * m.rstd;
        dgain[i] = fmaf(gradient[i], z[i], dgain[i]);
        dbias[i] += gradient[i];
        gradient[i] *= gain[i];
        total += gradient[i];
        along = fmaf(gradient[i], z[i], along);
    }
}
/// The gradient at z, from the results of begin_row and the means of the row's two sums.
template <int kSize>
__device__ inline void end_row(float (&gradient)[kSize], const float (&normalized)[kSize], float rstd, float mean,
                               float mean_along) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) gradient[i] = rstd * fmaf(-normalized[i], mean_along, gradient[i] - mean);
}

/// The block of a kernel where threads have `size` columns each: (threads of a row, at most max_groups groups).
inline dim3 backward_block(int64_t columns, int size, int max_groups) {
    const int64_t threads = (columns + size - 1) / size, wide = (threads + kWarp - 1) / kWarp * kWarp;
    if (wide > kBackwardThreads) refuse_size("columns of a LayerNorm", columns, int64_t{kBackwardThreads} * size);
    const int64_t groups = std::clamp<int64_t>(kBackwardThreads / wide, 1, max_groups);
    return dim3(static_cast<unsigned>(wide), static_cast<unsigned>(groups));
}

}  // namespace dropforge::kernels::on_cuda
