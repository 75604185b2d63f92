// Dropout + residual + LayerNorm, forward and backward, in one pass over memory each.
#include "kernels/blocks.h"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/functions.h"

namespace dropforge::kernels::on_cuda {

// ------------------------------------------------------------------------------------------------------------- forward
/// A warp has a row and, for BERT's widths, keeps it in registers between the three passes over it: no barrier, and
/// each byte is read once. Four rows a block.
constexpr int kForwardWarps = 4;

/// The lane's share of a row: packs lane, lane + 32, …; `kPacks` of them stay in registers. With kPacks = 0 a pass
/// reads the row from memory again, where the lane itself has written it.
template <typename T, int N, int kPacks>
class LaneRow {
  public:
    __device__ LaneRow(const T* row, int64_t columns) : row_(row), columns_(columns) {}

    /// Calls f(column, values, number of the pack); f may change the values.
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
    template <typename F>
    __device__ void read(F&& f) const {
        if constexpr (kPacks > 0) {
#pragma unroll
            for (int p = 0; p < kPacks; ++p)
                if (column(p) < columns_) f(column(p), values_[p]);
        } else {
            for (int p = 0; column(p) < columns_; ++p) {
                float values[N];
                load<N>(row_ + column(p), values);
                f(column(p), values);
            }
        }
    }

  private:
    __device__ int64_t column(int pack) const { return (int64_t{pack} * kWarp + threadIdx.x) * N; }

    const T* row_;
    int64_t columns_;
    float values_[kPacks > 0 ? kPacks : 1][N];
};

struct ForwardArguments {
    const float *gain, *bias;
    float *mean, *rstd;
    int64_t rows, columns;
    float epsilon;
};

/// z may be x. Statistics come from z as it is stored, as backward will see it.
template <typename T, int N, int kPacks>
__global__ void __launch_bounds__(kWarp* kForwardWarps)
    layernorm_forward_kernel(const T* x, const T* residual, T* z, T* y, ForwardArguments a, DropoutArgument dropout) {
    const int64_t row = int64_t{blockIdx.x} * kForwardWarps + threadIdx.y, start = row * a.columns;
    if (row >= a.rows) return;  // the whole warp
    const DropoutDraws draws(dropout);
    LaneRow<T, N, kPacks> lane((z ? z : x) + start, a.columns);
    float total = 0;
    lane.fill([&](int64_t column, float(&value)[N]) {
        load<N>(x + start + column, value);
        if (z) {
            draws.apply<N>(value, row, column);
            if (residual) {
                float other[N];
                load<N>(residual + start + column, other);
#pragma unroll
                for (int i = 0; i < N; ++i) value[i] += other[i];
            }
            const Pack<T, N> stored = rounded<N, T>(value);
            *reinterpret_cast<Pack<T, N>*>(z + start + column) = stored;
#pragma unroll
            for (int i = 0; i < N; ++i) value[i] = static_cast<float>(stored.at[i]);
        }
#pragma unroll
        for (int i = 0; i < N; ++i) total += value[i];
    });
    const auto columns = static_cast<float>(a.columns);
    const float mean = warp_sum(total) / columns;
    float squares = 0;
    lane.read([&](int64_t, const float(&value)[N]) {
#pragma unroll
        for (int i = 0; i < N; ++i) squares = fmaf(value[i] - mean, value[i] - mean, squares);
    });
    const float rstd = 1.0f / sqrtf(warp_sum(squares) / columns + a.epsilon);
    lane.read([&](int64_t column, const float(&value)[N]) {
        float gain[N], bias[N], normalized[N];
        load<N>(a.gain + column, gain);
        load<N>(a.bias + column, bias);
#pragma unroll
        for (int i = 0; i < N; ++i) normalized[i] = fmaf(gain[i], (value[i] - mean) * rstd, bias[i]);
        store<N>(y + start + column, normalized);
    });
    if (threadIdx.x == 0) {
        a.mean[row] = mean;
        a.rstd[row] = rstd;
    }
}

/// f(elements of an access, packs in registers): 24 or 32 values a lane for rows of up to 768 or 1024 columns, which
/// leaves room for 16 warps and more on a multiprocessor.
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

void layernorm_forward(const LayerNormForward& l, Context& context) {
    if (l.rows == 0) return;
    const ForwardArguments arguments{l.gain, l.bias, l.mean, l.rstd, l.rows, l.columns, l.epsilon};
    with_device_type(l.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_row_shape<T>(l.columns, {l.x, l.residual, l.gain, l.bias, l.z, l.y}, [&](auto pack, auto packs) {
            launch(layernorm_forward_kernel<T, pack(), packs()>, context,
                   {blocks_for(l.rows, kForwardWarps), dim3(kWarp, kForwardWarps)}, static_cast<const T*>(l.x),
                   static_cast<const T*>(l.residual), static_cast<T*>(l.z), static_cast<T*>(l.y), arguments,
                   DropoutArgument(l.dropout, l.rows_per_sequence));
        });
    });
}

// ------------------------------------------------------------------------------------------------------------ backward
// A thread keeps its columns for all rows of its group, so that the sums over rows stay in registers and are written
// once a block. A block has up to four groups of threads, each of which takes two rows at a time, all of whose reads
// are under way before the first sum needs one: 24 KiB in flight (h = 768, bf16). That takes up to 128 registers a
// thread, so a block has a multiprocessor to itself, and there are no more blocks than an A100 has of these
// (kMaxDeviceRowBlocks): no second wave, and the partial sums are less than a twentieth of the traffic.
constexpr int kRowsAtOnce = 2;
constexpr int kBackwardThreads = 512;
constexpr int kMaxGroups = 4;

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

/// Σ over the threads of a group of each of the values, for all of them; `turn` counts the calls.
template <int kValues>
__device__ inline void group_sums(float (&value)[kValues], int turn) {
    DROPFORGE_SHARED(float, of_warp, [2][kBackwardThreads / kWarp][kValues]);
    const unsigned lane = threadIdx.x % kWarp, warps = blockDim.x / kWarp, first = threadIdx.y * warps;
#pragma unroll
    for (int v = 0; v < kValues; ++v) value[v] = warp_sum(value[v]);
    auto& sums = of_warp[turn % 2];  // two, so that one barrier is enough: nobody is two turns ahead
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

struct BackwardArguments {
    const float *gain, *mean, *rstd;
    float* partials;  // [blocks, 3, columns]
    int64_t rows, columns;
};

/// dz may be dy. The block is (threads of a row, groups).
template <typename T, int N, int kPacks>
__global__ void __launch_bounds__(kBackwardThreads)
    layernorm_backward_kernel(const T* dy, const T* z, T* dz, T* dx, BackwardArguments a, DropoutArgument dropout) {
    using S = Share<N, kPacks>;
    const int64_t begin = a.rows * blockIdx.x / gridDim.x, end = a.rows * (blockIdx.x + 1) / gridDim.x;
    const DropoutDraws draws(dropout);
    const auto columns = static_cast<float>(a.columns);
    float gain[S::kSize] = {}, dgain[S::kSize] = {}, dbias[S::kSize] = {}, dx_sum[S::kSize] = {};
    S::load(a.gain, a.columns, gain);
    int turn = 0;
    for (int64_t base = begin; base < end;
         base += int64_t{blockDim.y} * kRowsAtOnce, ++turn) {  // of all: barriers inside
        const int64_t first = base + int64_t{threadIdx.y} * kRowsAtOnce;
        // What is beyond the row's or the block's end is 0 and adds nothing.
        float gradient[kRowsAtOnce][S::kSize] = {}, normalized[kRowsAtOnce][S::kSize] = {}, sums[2 * kRowsAtOnce] = {};
#pragma unroll
        for (int r = 0; r < kRowsAtOnce; ++r) {
            if (first + r >= end) continue;
            S::load(dy + (first + r) * a.columns, a.columns, gradient[r]);
            S::load(z + (first + r) * a.columns, a.columns, normalized[r]);
        }
#pragma unroll
        for (int r = 0; r < kRowsAtOnce; ++r) {
            if (first + r >= end) continue;
            const float mean = a.mean[first + r], rstd = a.rstd[first + r];
#pragma unroll
            for (int i = 0; i < S::kSize; ++i) {
                normalized[r][i] = (normalized[r][i] - mean) * rstd;
                dgain[i] = fmaf(gradient[r][i], normalized[r][i], dgain[i]);
                dbias[i] += gradient[r][i];
                gradient[r][i] *= gain[i];
                sums[2 * r] += gradient[r][i];
                sums[2 * r + 1] = fmaf(gradient[r][i], normalized[r][i], sums[2 * r + 1]);
            }
        }
        group_sums(sums, turn);
#pragma unroll
        for (int r = 0; r < kRowsAtOnce; ++r) {
            const int64_t row = first + r;
            if (row >= end) continue;
            const float rstd = a.rstd[row], mean_gradient = sums[2 * r] / columns,
                        mean_along = sums[2 * r + 1] / columns;
#pragma unroll
            for (int i = 0; i < S::kSize; ++i)
                gradient[r][i] = rstd * fmaf(-normalized[r][i], mean_along, gradient[r][i] - mean_gradient);
            S::store(dz + row * a.columns, a.columns, gradient[r]);
            if (draws.active()) {
#pragma unroll
                for (int p = 0; p < kPacks; ++p) draws.apply<N>(S::part(gradient[r], p), row, S::column(p));
            }
            if (dx) S::store(dx + row * a.columns, a.columns, gradient[r]);
#pragma unroll
            for (int i = 0; i < S::kSize; ++i) dx_sum[i] += gradient[r][i];
        }
    }
    float* partials = a.partials + int64_t{blockIdx.x} * 3 * a.columns;
    add_groups<N, kPacks>(dgain, a.columns, partials);
    add_groups<N, kPacks>(dbias, a.columns, partials + a.columns);
    add_groups<N, kPacks>(dx_sum, a.columns, partials + 2 * a.columns);
}

template <typename T, int N, int kPacks>
void launch_backward(const LayerNormBackward& l, int64_t blocks, Context& context) {
    const int64_t threads = (l.columns + N * kPacks - 1) / (N * kPacks), wide = (threads + kWarp - 1) / kWarp * kWarp;
    if (wide > kBackwardThreads) refuse_size("columns of a LayerNorm", l.columns, kBackwardThreads * N * kPacks);
    const int64_t groups = std::clamp<int64_t>(kBackwardThreads / wide, 1, kMaxGroups);
    launch(layernorm_backward_kernel<T, N, kPacks>, context,
           {static_cast<unsigned>(blocks), dim3(static_cast<unsigned>(wide), static_cast<unsigned>(groups))},
           static_cast<const T*>(l.dy), static_cast<const T*>(l.z), static_cast<T*>(l.dz), static_cast<T*>(l.dx),
           BackwardArguments{l.gain, l.mean, l.rstd, static_cast<float*>(l.scratch), l.rows, l.columns},
           DropoutArgument(l.dropout, l.rows_per_sequence));
}

void layernorm_backward(const LayerNormBackward& l, Context& context) {
    const int64_t blocks = device_row_blocks(l.rows);
    with_device_type(l.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(l.columns, {l.dy, l.z, l.gain, l.dz, l.dx},
                     [&](auto pack) { launch_backward<T, pack(), pack() == 1 ? 4 : 1>(l, blocks, context); });
    });
    add_partials(static_cast<const float*>(l.scratch), blocks, l.columns, {{l.dgain, l.dbias, l.dx_sum}, 3},
                 l.accumulate, context);
}

}  // namespace dropforge::kernels::on_cuda
