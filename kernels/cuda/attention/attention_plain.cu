// Attention in f32 arithmetic, for f32 storage and for heads, strides and addresses that the tensor core kernels do not
// support. A block has a tile of queries (or, for dk and dv, of keys) of one head, eight threads a row, and loops over
// tiles of keys (queries) in shared memory. Sums are added in order, in f32.
#include "kernels/cuda/attention/attention.cuh"

namespace dropforge::kernels::on_cuda::attention {

constexpr int kLanes = 8;  // threads of a row

/// Rows of a tile for heads of at most kHead, such that four tiles and two squares of scores fit 48 KiB; at 64 that is
/// 42 KiB and 256 threads. Columns are one too many, so that threads of different rows meet different banks.
template <int kHead>
struct Plain {
    static constexpr int kRows = 2048 / kHead, kThreads = kRows * kLanes, kScores = kRows / kLanes;
    static constexpr int kSums = kHead / kLanes;  // columns of a row that a thread has: lane, lane + 8, …
    using Rows = float[kRows][kHead + 1];
    using Square = float[kRows][kRows + 1];  // [queries, keys]
};

struct Place {
    int row = static_cast<int>(threadIdx.x) / kLanes, lane = static_cast<int>(threadIdx.x) % kLanes;
};

__device__ inline float sum_of_row(float value) {
#pragma unroll
    for (int bit = 1; bit < kLanes; bit *= 2) value += __shfl_xor_sync(kAllLanes, value, bit);
    return value;
}

/// Rows 0 … of `from`; zeros from `valid` on.
template <int kHead, typename T>
__device__ void load_tile(typename Plain<kHead>::Rows& tile, const T* from, int stride, int columns, int valid) {
    const Place p;
    for (int d = p.lane; d < columns; d += kLanes)
        tile[p.row][d] = p.row < valid ? static_cast<float>(from[int64_t{p.row} * stride + d]) : 0.0f;
}

/// The dropout factors of a tile's probabilities: 0 or the scale of dropout, or 1 where it is off.
template <int kHead>
__device__ void load_factors(typename Plain<kHead>::Square& factors, const DropoutDraws& draws, int64_t row, int key) {
    constexpr int kPacks = Plain<kHead>::kRows / 8;
    const int i = static_cast<int>(threadIdx.x) / kPacks, pack = static_cast<int>(threadIdx.x) % kPacks * 8;
    if (i >= Plain<kHead>::kRows) return;
    float factor[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    draws.apply(factor, row + i, key + pack);
    for (int j = 0; j < 8; ++j) factors[i][pack + j] = factor[j];
}

__device__ inline float dot(const float* a, const float* b, int n) {
    float sum = 0;
    for (int d = 0; d < n; ++d) sum = fmaf(a[d], b[d], sum);
    return sum;
}

/// sum[i] += Σ_j weight[j · step] · rows[j][lane + 8·i].
template <int kHead>
__device__ void add_rows(float (&sum)[Plain<kHead>::kSums], const float* weight, int step,
                         const typename Plain<kHead>::Rows& rows, int count, int columns) {
    const Place p;
    for (int j = 0; j < count; ++j) {
        const float w = weight[j * step];
#pragma unroll
        for (int i = 0; i < Plain<kHead>::kSums; ++i)
            if (p.lane + kLanes * i < columns) sum[i] = fmaf(w, rows[j][p.lane + kLanes * i], sum[i]);
    }
}

template <int kHead, typename T>
__device__ void store_row(T* to, const float (&sum)[Plain<kHead>::kSums], float factor, int columns) {
    const Place p;
#pragma unroll
    for (int i = 0; i < Plain<kHead>::kSums; ++i)
        if (p.lane + kLanes * i < columns) to[p.lane + kLanes * i] = static_cast<T>(sum[i] * factor);
}

// ------------------------------------------------------------------------------------------------------------- forward
template <typename T, int kHead>
__global__ void __launch_bounds__(Plain<kHead>::kThreads, 2) forward_plain_kernel(ForwardArgument<T> a) {
    using Sizes = Plain<kHead>;
    constexpr int kRows = Sizes::kRows;
    DROPFORGE_SHARED(typename Sizes::Rows, queries);
    DROPFORGE_SHARED(typename Sizes::Rows, keys);
    DROPFORGE_SHARED(typename Sizes::Rows, values);
    DROPFORGE_SHARED(typename Sizes::Square, weights);

    const Head head;
    const Place p;
    const DropoutDraws draws(a.dropout);
    const int first = static_cast<int>(blockIdx.x) * kRows, query = first + p.row;
    load_tile<kHead>(queries, a.q + head.q(a, first), a.stride_q, a.head_size, a.rows_q - first);
    float largest = -INFINITY, total = 0, sum[Sizes::kSums]{};
    for (int key = 0; key < head.keys(a); key += kRows) {
        const int64_t offset = head.kv(a, key);
        load_tile<kHead>(keys, a.k + offset, a.stride_kv, a.head_size, head.keys(a) - key);
        load_tile<kHead>(values, a.v + offset, a.stride_kv, a.head_size, head.keys(a) - key);
        load_factors<kHead>(weights, draws, head.lse(a, first), key);
        __syncthreads();
        float score[Sizes::kScores], ahead = largest;
#pragma unroll
        for (int i = 0; i < Sizes::kScores; ++i) {
            const int j = p.lane + kLanes * i;
            score[i] = key + j < head.keys(a) ? a.scale * dot(queries[p.row], keys[j], a.head_size) : -INFINITY;
            ahead = fmaxf(ahead, score[i]);
        }
#pragma unroll
        for (int bit = 1; bit < kLanes; bit *= 2) ahead = fmaxf(ahead, __shfl_xor_sync(kAllLanes, ahead, bit));
        const float correction = expf(largest - ahead);
        largest = ahead;
        total *= correction;
#pragma unroll
        for (int i = 0; i < Sizes::kScores; ++i) {
            const float weight = expf(score[i] - largest);
            total += weight;
            weights[p.row][p.lane + kLanes * i] *= weight;
        }
#pragma unroll
        for (float& s : sum) s *= correction;
        __syncthreads();
        add_rows<kHead>(sum, weights[p.row], 1, values, kRows, a.head_size);
        __syncthreads();
    }
    total = sum_of_row(total);
    if (query >= a.rows_q) return;
    store_row<kHead>(a.out + head.out(a, query), sum, 1 / total, a.head_size);
    if (p.lane == 0) a.lse[head.lse(a, query)] = largest + logf(total);
}

// ------------------------------------------------------------------------------------------------------------ backward
/// The part that both backward kernels share: probabilities and score gradients of a tile of queries and one of keys.
template <int kHead>
struct BackwardTiles {
    using Sizes = Plain<kHead>;
    typename Sizes::Rows queries, douts, keys, values;
    typename Sizes::Square dropped, gradients;  // probabilities after dropout, ds

    template <typename T>
    __device__ void load_queries(const BackwardArgument<T>& a, const Head& head, int first) {
        const int valid = a.rows_q - first;
        load_tile<kHead>(queries, a.q + head.q(a, first), a.stride_q, a.head_size, valid);
        load_tile<kHead>(douts, a.dout + head.out(a, first), a.stride_out, a.head_size, valid);
    }
    template <typename T>
    __device__ void load_keys(const BackwardArgument<T>& a, const Head& head, int first) {
        const int64_t offset = head.kv(a, first);
        load_tile<kHead>(keys, a.k + offset, a.stride_kv, a.head_size, head.keys(a) - first);
        load_tile<kHead>(values, a.v + offset, a.stride_kv, a.head_size, head.keys(a) - first);
    }

    /// dout·out of this thread's query.
    template <typename T>
    __device__ static float delta(const BackwardArgument<T>& a, const Head& head, int query) {
        const Place p;
        float sum = 0;
        if (query < a.rows_q) {
            const int64_t offset = head.out(a, query);
            for (int d = p.lane; d < a.head_size; d += kLanes)
                sum = fmaf(static_cast<float>(a.dout[offset + d]), static_cast<float>(a.out[offset + d]), sum);
        }
        return sum_of_row(sum);
    }

    /// Computes `dropped` and `gradients` from the loaded tiles; `dropped` holds the dropout factors before.
    template <typename T>
    __device__ void make_scores(const BackwardArgument<T>& a, const Head& head, int query, int key, float delta) {
        const Place p;
        const bool inside = query + p.row < a.rows_q;
        const float lse = inside ? a.lse[head.lse(a, query + p.row)] : 0.0f;
        for (int j = p.lane; j < Sizes::kRows; j += kLanes) {
            float probability = 0;
            if (inside && key + j < head.keys(a))
                probability = expf(a.scale * dot(queries[p.row], keys[j], a.head_size) - lse);
            const float factor = dropped[p.row][j], dp = dot(douts[p.row], values[j], a.head_size);
            dropped[p.row][j] = probability * factor;
            gradients[p.row][j] = probability * (factor * dp - delta);
        }
    }
};

template <typename T, int kHead>
__global__ void __launch_bounds__(Plain<kHead>::kThreads, 2) queries_plain_kernel(BackwardArgument<T> a) {
    using Sizes = Plain<kHead>;
    DROPFORGE_SHARED(BackwardTiles<kHead>, tiles);
    const Head head;
    const Place p;
    const DropoutDraws draws(a.dropout);
    const int first = static_cast<int>(blockIdx.x) * Sizes::kRows, query = first + p.row;
    tiles.load_queries(a, head, first);
    const float delta = tiles.delta(a, head, query);
    float dq[Sizes::kSums]{};
    for (int key = 0; key < head.keys(a); key += Sizes::kRows) {
        tiles.load_keys(a, head, key);
        load_factors<kHead>(tiles.dropped, draws, head.lse(a, first), key);
        __syncthreads();
        tiles.make_scores(a, head, first, key, delta);
        __syncthreads();
        add_rows<kHead>(dq, tiles.gradients[p.row], 1, tiles.keys, Sizes::kRows, a.head_size);
        __syncthreads();
    }
    if (query < a.rows_q) store_row<kHead>(a.dq + head.q(a, query), dq, a.scale, a.head_size);
}

template <typename T, int kHead>
__global__ void __launch_bounds__(Plain<kHead>::kThreads, 2) keys_plain_kernel(BackwardArgument<T> a) {
    using Sizes = Plain<kHead>;
    DROPFORGE_SHARED(BackwardTiles<kHead>, tiles);
    const Head head;
    const Place p;
    const DropoutDraws draws(a.dropout);
    const int first = static_cast<int>(blockIdx.x) * Sizes::kRows, key = first + p.row;
    tiles.load_keys(a, head, first);
    float dk[Sizes::kSums]{}, dv[Sizes::kSums]{};
    const int rows_q = first < head.keys(a) ? a.rows_q : 0;
    for (int query = 0; query < rows_q; query += Sizes::kRows) {
        tiles.load_queries(a, head, query);
        load_factors<kHead>(tiles.dropped, draws, head.lse(a, query), first);
        const float delta = tiles.delta(a, head, query + p.row);
        __syncthreads();
        tiles.make_scores(a, head, query, first, delta);
        __syncthreads();
        add_rows<kHead>(dk, &tiles.gradients[0][p.row], Sizes::kRows + 1, tiles.queries, Sizes::kRows, a.head_size);
        add_rows<kHead>(dv, &tiles.dropped[0][p.row], Sizes::kRows + 1, tiles.douts, Sizes::kRows, a.head_size);
        __syncthreads();
    }
    if (key >= a.rows_kv) return;
    const int64_t offset = head.kv(a, key);
    store_row<kHead>(a.dk + offset, dk, a.scale, a.head_size);
    store_row<kHead>(a.dv + offset, dv, 1, a.head_size);
}

/// Calls f(storage type, bound of the head size).
template <typename Attention, typename F>
void with_kernel(const Attention& a, F&& f) {
    if (a.head_size > kMaxPlainHead) refuse_size("columns of an attention head", a.head_size, kMaxPlainHead);
    with_device_type(a.dtype, [&](auto type) {
        if (a.head_size <= 64)
            f(type, std::integral_constant<int, 64>{});
        else
            f(type, std::integral_constant<int, kMaxPlainHead>{});
    });
}

void forward_plain(const AttentionForward& a, Context& context) {
    with_kernel(a, [&](auto type, auto head) {
        using T = typename decltype(type)::type;
        using Sizes = Plain<head()>;
        launch(forward_plain_kernel<T, head()>, context, shape_of_heads(a, a.rows_q, Sizes::kRows, Sizes::kThreads),
               ForwardArgument<T>(a));
    });
}

void backward_plain(const AttentionBackward& a, Context& context) {
    with_kernel(a, [&](auto type, auto head) {
        using T = typename decltype(type)::type;
        using Sizes = Plain<head()>;
        launch(keys_plain_kernel<T, head()>, context, shape_of_heads(a, a.rows_kv, Sizes::kRows, Sizes::kThreads),
               BackwardArgument<T>(a));
        if (a.rows_q > 0)
            launch(queries_plain_kernel<T, head()>, context, shape_of_heads(a, a.rows_q, Sizes::kRows, Sizes::kThreads),
                   BackwardArgument<T>(a));
    });
}

}  // namespace dropforge::kernels::on_cuda::attention
