// Semantic consistency: means over the rows of a sequence, and the KL divergence of two rows as distributions. Pooling
// reads memory once; the divergence has a few rows, which stay in the cache.
#include "kernels/cuda/rowwise/column_sums.cuh"
#include "kernels/cuda/rowwise/functions.h"

namespace dropforge::kernels::on_cuda {

// ------------------------------------------------------------------------------------------------------------- pooling
constexpr int64_t kMaxSequences = 65535;  // of a grid's z extent
constexpr int kRowsOfBlock = 64;          // eight a warp

/// Number of rows of sequence b that are pooled.
__device__ inline int pooled_rows(const int32_t* lengths, int count, int64_t b) { return lengths ? lengths[b] : count; }

/// Partial sums of pooling. A warp has 32 packs of a share of the sequence's rows, which the block's warps divide.
/// Three blocks on an SM with four outstanding reads a thread have 48 KiB in flight.
template <typename T, int N>
__global__ void __launch_bounds__(kWarp* kSumWarps, 3)
    pool_forward_kernel(const T* __restrict__ x, const int32_t* __restrict__ lengths, float* pooled, int per_sequence,
                        int64_t columns, int count) {
    const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N, b = blockIdx.z;
    const int n = pooled_rows(lengths, count, b), warp = static_cast<int>(threadIdx.y);
    float sum[N] = {};
    if (column < columns) {
        const int first = n * warp / kSumWarps, last = n * (warp + 1) / kSumWarps;
        const T* from = x + (b * per_sequence + first) * columns + column;
        read_ahead<Pack<T, N>, 4>(
            last - first,
            [&](int r, Pack<T, N>& pack) { pack = *reinterpret_cast<const Pack<T, N>*>(from + r * columns); },
            [&](const Pack<T, N>& pack) {
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] += static_cast<float>(pack.at[i]);
            });
    }
    const auto rows = static_cast<float>(n);
    for_sums_of_warps<N>(sum, [&](int i, float total) {
        if (column + i < columns) pooled[b * columns + column + i] = total / rows;
    });
}

/// The grid of both kernels for this many rows of a sequence a block.
inline LaunchShape pool_shape(int64_t batch, int64_t rows, int64_t rows_of_block, int64_t columns, int pack,
                              const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    if (batch > kMaxSequences) refuse_size("sequences", batch, kMaxSequences);
    return {
        dim3(blocks_for(columns, int64_t{kWarp} * pack), blocks_for(rows, rows_of_block), static_cast<unsigned>(batch)),
        dim3(kWarp, kSumWarps), file, line};
}

void pool_forward(const PoolForward& p, Context& context) {
    if (p.batch == 0) return;
    with_device_type(p.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(p.columns, {p.x}, [&](auto pack) {
            launch(pool_forward_kernel<T, pack()>, context, pool_shape(p.batch, 1, 1, p.columns, pack()),
                   static_cast<const T*>(p.x), p.lengths, p.pooled, p.per_sequence, p.columns, p.count);
        });
    });
}

/// Pooling's backward. A warp has 32 packs of every eighth row of the block, so that it divides once.
template <typename T, int N>
__global__ void __launch_bounds__(kWarp* kSumWarps)
    pool_backward_kernel(const float* __restrict__ dpooled, const int32_t* __restrict__ lengths, T* dx,
                         int per_sequence, int64_t columns, int count, bool accumulate) {
    const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N, b = blockIdx.z;
    if (column >= columns) return;
    const int n = pooled_rows(lengths, count, b), begin = static_cast<int>(blockIdx.y) * kRowsOfBlock;
    const int reached = accumulate ? n : per_sequence;
    const int end = begin + kRowsOfBlock < reached ? begin + kRowsOfBlock : reached;
    float share[N];
    load<N>(dpooled + b * columns + column, share);
#pragma unroll
    for (int i = 0; i < N; ++i) share[i] /= static_cast<float>(n);
    for (int row = begin + static_cast<int>(threadIdx.y); row < end; row += kSumWarps) {
        T* to = dx + (b * per_sequence + row) * columns + column;
        float value[N] = {};
        if (accumulate) load<N>(to, value);
        if (row < n) {
#pragma unroll
            for (int i = 0; i < N; ++i) value[i] += share[i];
        }
        store<N>(to, value);
    }
}

void pool_backward(const PoolBackward& p, Context& context) {
    const int64_t reached = p.accumulate && !p.lengths ? p.count : p.per_sequence;
    if (p.batch * reached == 0) return;
    with_device_type(p.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(p.columns, {p.dpooled, p.dx}, [&](auto pack) {
            launch(pool_backward_kernel<T, pack()>, context,
                   pool_shape(p.batch, reached, kRowsOfBlock, p.columns, pack()), p.dpooled, p.lengths,
                   static_cast<T*>(p.dx), p.per_sequence, p.columns, p.count, p.accumulate);
        });
    });
}

// ---------------------------------------------------------------------------------------------------------- divergence
/// The logarithms of a row's softmax: x - max - log Σ e^(x - max).
struct LogSoftmax {
    float largest, log_sum;
    __device__ float operator()(float x) const { return x - largest - log_sum; }
};

constexpr int kRowThreads = 256;  // a pack each for BERT's widths; later passes read from the first-level cache

/// Calls f(column, values of a, values of b) for the thread's packs of both rows.
template <int N, typename F>
__device__ inline void for_pairs(const float* a, const float* b, int64_t columns, F&& f) {
    for (int64_t column = int64_t{threadIdx.x} * N; column < columns; column += kRowThreads * N) {
        float of_a[N], of_b[N];
        load<N>(a + column, of_a);
        load<N>(b + column, of_b);
        f(column, of_a, of_b);
    }
}

/// dtarget and dinput may be target and input. Equal rows go through equal operations, and so give exactly 0.
template <int N>
__global__ void __launch_bounds__(kRowThreads) kl_divergence_kernel(KlDivergence k) {
    const int64_t begin = blockIdx.x * k.columns;
    const float *target = k.target + begin, *input = k.input + begin;
    LogSoftmax log_t{Maximum::kNeutral, 0}, log_p = log_t;
    for_pairs<N>(target, input, k.columns, [&](int64_t, const float(&t)[N], const float(&p)[N]) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            log_t.largest = fmaxf(log_t.largest, t[i]);
            log_p.largest = fmaxf(log_p.largest, p[i]);
        }
    });
    log_t.largest = block_reduce(log_t.largest, Maximum{});
    log_p.largest = block_reduce(log_p.largest, Maximum{});
    float sum_t = 0, sum_p = 0;
    for_pairs<N>(target, input, k.columns, [&](int64_t, const float(&t)[N], const float(&p)[N]) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            sum_t += expf(t[i] - log_t.largest);
            sum_p += expf(p[i] - log_p.largest);
        }
    });
    log_t.log_sum = logf(block_reduce(sum_t, Sum{}));
    log_p.log_sum = logf(block_reduce(sum_p, Sum{}));
    float total = 0;
    for_pairs<N>(target, input, k.columns, [&](int64_t, const float(&t)[N], const float(&p)[N]) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float ratio = log_t(t[i]) - log_p(p[i]), of_t = expf(log_t(t[i])), of_p = expf(log_p(p[i]));
            // Σ (p - t) = 0, but with it an error in either log Σ cancels to first order: nearly equal rows keep
            // digits.
            total += fmaf(of_t, ratio, of_p - of_t);
        }
    });
    const float kl = block_reduce(total, Sum{});
    if (threadIdx.x == 0) k.kl[blockIdx.x] = kl;
    if (!k.gradient_scale) return;
    const float scale = scaled(k.gradient_scale, k.loss_scale);
    for_pairs<N>(target, input, k.columns, [&](int64_t column, float(&t)[N], float(&p)[N]) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float ratio = log_t(t[i]) - log_p(p[i]), of_t = expf(log_t(t[i])), of_p = expf(log_p(p[i]));
            t[i] = of_t * (ratio - kl) * scale;
            p[i] = (of_p - of_t) * scale;
        }
        store<N>(k.dtarget + begin + column, t);
        store<N>(k.dinput + begin + column, p);
    });
}

void kl_divergence(const KlDivergence& k, Context& context) {
    if (k.rows == 0) return;
    with_pack<float>(k.columns, {k.target, k.input, k.dtarget, k.dinput}, [&](auto pack) {
        launch(kl_divergence_kernel<pack()>, context, {blocks_for(k.rows, 1), kRowThreads}, k);
    });
}

}  // namespace dropforge::kernels::on_cuda
