// Attention forward on tensor cores (Dao 2024, "FlashAttention-2"): a block has 64 queries of a head, each of its four
// warps 16, and loops over tiles of keys and values, loading the next while it computes with one. Scores and
// probabilities stay in registers.
#include "kernels/cuda/attention/attention.cuh"

namespace dropforge::kernels::on_cuda::attention {

/// Two tiles of keys, two of values and the queries fit 48 KiB; at head size 64 they are 40 KiB.
template <int kHead>
struct ForwardBlock {
    static constexpr int kQueries = kHead <= 64 ? 64 : 32, kThreads = 2 * kQueries;
    static constexpr int kKeys = kHead <= 64 ? 64 : 32;
};

/// The running maximum and sum of the softmax of a warp's 16 queries; a lane has rows g and g + 8.
struct Softmax {
    float largest[2] = {-INFINITY, -INFINITY};  // of the scores times log2 e
    float sum[2] = {0, 0};                      // of this lane's columns

    /// Replaces scores (times log2 e) by powers of two relative to the largest so far, and returns the factors of the
    /// earlier sums.
    template <int kTiles>
    __device__ void exponentials(float (&s)[kTiles][4], float (&correction)[2]) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float ahead = largest[h];
#pragma unroll
            for (int i = 0; i < kTiles; ++i) ahead = fmaxf(ahead, fmaxf(s[i][2 * h], s[i][2 * h + 1]));
            ahead = fmaxf(ahead, __shfl_xor_sync(kAllLanes, ahead, 1));
            ahead = fmaxf(ahead, __shfl_xor_sync(kAllLanes, ahead, 2));
            correction[h] = fast_exp2(largest[h] - ahead);
            largest[h] = ahead;
            float total = sum[h] * correction[h];
#pragma unroll
            for (int i = 0; i < kTiles; ++i) {
                s[i][2 * h] = fast_exp2(s[i][2 * h] - ahead);
                s[i][2 * h + 1] = fast_exp2(s[i][2 * h + 1] - ahead);
                total += s[i][2 * h] + s[i][2 * h + 1];
            }
            sum[h] = total;
        }
    }
    __device__ void finish() {
#pragma unroll
        for (float& total : sum) {
            total += __shfl_xor_sync(kAllLanes, total, 1);
            total += __shfl_xor_sync(kAllLanes, total, 2);
        }
    }
};

template <typename T, int kHead>
struct ForwardWarp {
    static constexpr int kKeys = ForwardBlock<kHead>::kKeys;
    using Rows = Tile<T, kHead>;

    float out[kHead / 8][4]{};
    Softmax softmax;
    Lane lane;
    int by_row = Rows::by_row(lane), by_pack = Rows::by_pack(lane);

    /// exponent·q·kᵀ for a tile of keys; -∞ from key `valid` on.
    __device__ void scores(const T* queries, const T* keys, float exponent, int valid, float (&s)[kKeys / 8][4]) const {
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) s[j][i] = 0;
#pragma unroll
        for (int d = 0; d < kHead / 16; ++d) {
            unsigned a[4];
            load_matrices(a, Rows::square(queries, by_row, 0, 2 * d));
#pragma unroll
            for (int j = 0; j < kKeys / 16; ++j) {
                unsigned b[4];
                load_matrices(b, Rows::square(keys, by_pack, 16 * j, 2 * d));
                multiply_add<T>(s[2 * j], a, b[0], b[1]);
                multiply_add<T>(s[2 * j + 1], a, b[2], b[3]);
            }
        }
        const int end = valid - 2 * lane.t;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i) s[j][i] *= exponent;
        if (valid >= kKeys) return;
#pragma unroll
        for (int j = 0; j < kKeys / 8; ++j)
#pragma unroll
            for (int i = 0; i < 4; ++i)
                if (8 * j + i % 2 >= end) s[j][i] = -INFINITY;
    }

    /// out += dropout(p) · v, but for the scale of dropout.
    __device__ void add_values(const T* values, const float (&p)[kKeys / 8][4], const DropoutKeys& draws, unsigned site,
                               unsigned row, unsigned key) {
#pragma unroll
        for (int j = 0; j < kKeys / 16; ++j) {
            const float(&left)[4] = p[2 * j], (&right)[4] = p[2 * j + 1];
            unsigned a[4] = {pair_of<T>(left[0], left[1]), pair_of<T>(left[2], left[3]), pair_of<T>(right[0], right[1]),
                             pair_of<T>(right[2], right[3])};
            const auto kept = TileDropout::by_query(draws, site, row, key + 16 * j, lane);
#pragma unroll
            for (int i = 0; i < 4; ++i) a[i] = kept.pair(a[i], static_cast<unsigned>(i));
#pragma unroll
            for (int d = 0; d < kHead / 16; ++d) {
                unsigned b[4];
                load_transposed(b, Rows::square(values, by_row, 16 * j, 2 * d));
                multiply_add<T>(out[2 * d], a, b[0], b[1]);
                multiply_add<T>(out[2 * d + 1], a, b[2], b[3]);
            }
        }
    }
};

/// Four blocks run on an SM of compute capability 9.0 with 128 registers a thread (head sizes to 64): while
/// one waits for its first tiles or writes, others compute.
template <typename T, int kHead>
__global__ void __launch_bounds__(ForwardBlock<kHead>::kThreads, kHead <= 64 ? 4 : 5)
    forward_kernel(ForwardArgument<T> a) {
    using Sizes = ForwardBlock<kHead>;
    constexpr int kQueries = Sizes::kQueries, kKeys = Sizes::kKeys, kThreads = Sizes::kThreads;
    DROPFORGE_SHARED(DropoutKeys, draws);
    DROPFORGE_SHARED(T, queries, [kQueries * kHead]);
    DROPFORGE_SHARED(T, keys, [2][kKeys * kHead]);
    DROPFORGE_SHARED(T, values, [2][kKeys * kHead]);

    const Head head;
    const int seen = head.keys(a);
    const int first_query = static_cast<int>(blockIdx.x) * kQueries, warp = static_cast<int>(threadIdx.x / kWarp * 16);
    const auto copy_keys = [&](int key) {
        const int64_t offset = head.kv(a, key);
        copy_tile<T, kHead, kKeys, kThreads>(keys[(key & kKeys) / kKeys], a.k + offset, a.stride_kv, seen - key);
        copy_tile<T, kHead, kKeys, kThreads>(values[(key & kKeys) / kKeys], a.v + offset, a.stride_kv, seen - key);
    };
    draws.fill(a.dropout, head.dropout_row(a));
    copy_tile<T, kHead, kQueries, kThreads>(queries, a.q + head.q(a, first_query), a.stride_q, a.rows_q - first_query);
    copy_keys(0);
    end_copy_group();

    const bool idle = first_query + warp >= a.rows_q;
    ForwardWarp<T, kHead> w;
    for (int key = 0; key < seen; key += kKeys) {
        if (key + kKeys < seen) copy_keys(key + kKeys);
        end_copy_group();
        wait_for_copies<1>();
        __syncthreads();
        if (!idle) {
            float s[kKeys / 8][4], correction[2];
            w.scores(queries + warp * kHead, keys[(key & kKeys) / kKeys], a.exponent, seen - key, s);
            w.softmax.exponentials(s, correction);
#pragma unroll
            for (int d = 0; d < kHead / 8; ++d)
#pragma unroll
                for (int i = 0; i < 4; ++i) w.out[d][i] *= correction[i / 2];
            w.add_values(values[(key & kKeys) / kKeys], s, draws, a.dropout.site,
                         static_cast<unsigned>(first_query + warp), static_cast<unsigned>(key));
        }
        __syncthreads();
    }
    if (idle) return;
    w.softmax.finish();
    const int valid = a.rows_q - first_query - warp;
    store_rows<T, kHead>(queries + warp * kHead, w.out, a.dropout.scale / w.softmax.sum[0],
                         a.dropout.scale / w.softmax.sum[1], a.out + head.out(a, first_query + warp), a.stride_out,
                         valid);
    if (w.lane.t < 2) {
        const int i = w.lane.g + 8 * w.lane.t;
        const float largest = w.lane.t == 0 ? w.softmax.largest[0] : w.softmax.largest[1];
        const float sum = w.lane.t == 0 ? w.softmax.sum[0] : w.softmax.sum[1];
        if (i < valid) a.lse[head.lse(a, first_query + warp + i)] = largest * kLn2 + logf(sum);
    }
}

template <typename T, int kHead>
void forward(const AttentionForward& a, Context& context) {
    using Sizes = ForwardBlock<kHead>;
    launch(forward_kernel<T, kHead>, context, shape_of_heads(a, a.rows_q, Sizes::kQueries, Sizes::kThreads),
           ForwardArgument<T>(a));
}

void forward_tensor(const AttentionForward& a, Context& context) {
    with_16_bit_type(a.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        if (a.head_size == 32)
            forward<T, 32>(a, context);
        else if (a.head_size == 64)
            forward<T, 64>(a, context);
        else
            forward<T, 128>(a, context);
    });
}

}  // namespace dropforge::kernels::on_cuda::attention
