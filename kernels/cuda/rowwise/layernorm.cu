// Dropout + residual + LayerNorm, forward and backward, in one pass over memory each.
#include "kernels/blocks.h"
#include "kernels/cuda/rowwise/column_sums.cuh"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/rowwise/layernorm.cuh"
#include "kernels/cuda/runtime/dropout.cuh"

namespace dropforge::kernels::on_cuda {

// ------------------------------------------------------------------------------------------------------------- forward
struct ForwardArguments {
    const float *gain, *bias;
    float *mean, *rstd;
    int64_t rows, columns;
    float epsilon;
};

/// z may be x. Statistics are those of z as stored, which backward will read.
template <typename T, int N, int kPacks>
__global__ void __launch_bounds__(kWarp* kForwardWarps)
    layernorm_forward_kernel(const T* x, const T* residual, T* z, T* y, ForwardArguments a, DropoutArgument dropout) {
    const int64_t row = int64_t{blockIdx.x} * kForwardWarps + threadIdx.y, start = row * a.columns;
    if (row >= a.rows) return;  // all lanes of the warp
    const DropoutDraws draws(dropout);
    const T* stored_row = (z ? z : x) + start;  // a lane reads only elements that it wrote
    auto lane = lane_row<N, kPacks>(
        a.columns, [stored_row](int64_t column, float(&value)[N]) { load<N>(stored_row + column, value); });
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
    const RowMoments m = moments_of(lane, total, a.columns, a.epsilon);
    lane.read([&](int64_t column, const float(&value)[N]) {
        float normalized[N];
        normalize<N>(value, m, a.gain + column, a.bias + column, normalized);
        store<N>(y + start + column, normalized);
    });
    if (threadIdx.x == 0) {
        a.mean[row] = m.mean;
        a.rstd[row] = m.rstd;
    }
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
// A block's two groups of threads take a row at a time each. Blocks are small and several share an SM, so
// that some read while others wait at their sums: one block with all of an SM's registers, two rows a group
// at a time, reached 0.95 TB/s of an H100's 3.35. kMaxDeviceRowBlocks lets three blocks run on each of its
// SMs; the partial sums are then a twentieth of the traffic.
constexpr int kRowsAtOnce = 1;
constexpr int kMaxGroups = 2;

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
         base += int64_t{blockDim.y} * kRowsAtOnce, ++turn) {  // by all threads: the body has barriers
        const int64_t first = base + int64_t{threadIdx.y} * kRowsAtOnce;
        // Elements beyond the row's or the block's end are 0 and add nothing.
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
            begin_row(gradient[r], normalized[r], {a.mean[first + r], a.rstd[first + r]}, gain, dgain, dbias,
                      sums[2 * r], sums[2 * r + 1]);
        }
        group_sums(sums, turn);
#pragma unroll
        for (int r = 0; r < kRowsAtOnce; ++r) {
            const int64_t row = first + r;
            if (row >= end) continue;
            end_row(gradient[r], normalized[r], a.rstd[row], sums[2 * r] / columns, sums[2 * r + 1] / columns);
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
    launch(layernorm_backward_kernel<T, N, kPacks>, context,
           {static_cast<unsigned>(blocks), backward_block(l.columns, N * kPacks, kMaxGroups)},
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
