// Attention backward on tensor cores (Dao et al. 2022, "FlashAttention", appendix B.2), without atomics. A block has
// up to 128 keys of a head, each warp 16, and loops over tiles of queries. Scores are computed transposed,
// [keys, queries], so that probabilities and score gradients are already operands of dv += pᵀ·dout and dk += dsᵀ·q, in
// registers. If one block has all keys, it also computes dq, from score gradients in shared memory; else a second
// kernel does.
//
// With m = the dropout factor, 0 or c, the score gradients are ds = p·(m·dp − delta) = c·p·((dp or 0) − delta / c). The
// outer c, the softmax scale and dv's c are factors of finished sums.
#include "kernels/cuda/attention/attention.cuh"

namespace dropforge::kernels::on_cuda::attention {

/// Σ dout·out over pack `pack` of a row.
template <typename T>
__device__ inline float product_of_packs(const T* dout, const T* out) {
    float a[8], b[8], sum = 0;
    load<8>(dout, a);
    load<8>(out, b);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum = fmaf(a[i], b[i], sum);
    return sum;
}

// ------------------------------------------------------------------------------------------------------- dk, dv, (dq)
/// Sizes that fit 48 KiB. At head size 64: keys 16 KiB, two tiles of 32 queries and output gradients 16 KiB, score
/// gradients 8 KiB.
template <int kHead>
struct KeysBlock {
    static constexpr int kKeys = kHead <= 64 ? 128 : 64, kWarps = kKeys / 16, kThreads = kWarps * kWarp;
    static constexpr int kQueries = 2048 / kHead;
    /// Rows whose log-sum-exp and delta are computed at a time.
    static constexpr int kRows = 128;
    /// Columns of a tile's dq that a warp computes.
    static constexpr int kColumns = kHead / (kWarps / (kQueries / 16));
};

template <typename T, int kHead>
struct KeysWarp {
    using Sizes = KeysBlock<kHead>;
    using Rows = Tile<T, kHead>;
    using Scores = Tile<T, Sizes::kQueries>;  // rows are keys

    float dk[kHead / 8][4]{}, dv[kHead / 8][4]{};
    unsigned value[kHead / 16][4];
    bool seen[2];  // keys g, g + 8
    Lane lane;
    int by_row = Rows::by_row(lane), by_pack = Rows::by_pack(lane);

    /// Loads the values of this warp's 16 keys, of which the first `valid` are attended to, as an operand.
    __device__ void load_values(const T* v, int stride, int valid) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int key = lane.g + 8 * h;
            seen[h] = key < valid;
#pragma unroll
            for (int i = 0; i < kHead / 8; ++i) {
                const T* pair = v + int64_t{key} * stride + 8 * i + 2 * lane.t;
                value[i / 2][i % 2 * 2 + h] = seen[h] ? *reinterpret_cast<const unsigned*>(pair) : 0;
            }
        }
    }

    /// c [16 keys, 16 queries] += a · bᵀ for rows of queries b.
    __device__ void add_product(float (&c)[2][4], const unsigned (&a)[4], const T* b, int pack) const {
        unsigned rows[4];
        load_matrices(rows, Rows::square(b, by_pack, 0, pack));
        multiply_add<T>(c[0], a, rows[0], rows[1]);
        multiply_add<T>(c[1], a, rows[2], rows[3]);
    }
    /// sum [16 keys, kHead] += a · b for 16 rows of queries b.
    __device__ void add_rows(float (&sum)[kHead / 8][4], const unsigned (&a)[4], const T* b) const {
#pragma unroll
        for (int d = 0; d < kHead / 16; ++d) {
            unsigned rows[4];
            load_transposed(rows, Rows::square(b, by_row, 0, 2 * d));
            multiply_add<T>(sum[2 * d], a, rows[0], rows[1]);
            multiply_add<T>(sum[2 * d + 1], a, rows[2], rows[3]);
        }
    }

    /// Adds 16 queries' share to dk and dv, and returns ds as an operand. `key` is this warp's first key.
    __device__ void add_queries(const T* keys, const T* queries, const T* douts, const float* lse, const float* delta,
                                const DropoutKeys& draws, unsigned site, unsigned row, unsigned key, float exponent,
                                unsigned (&ds)[4]) {
        const auto kept = TileDropout::by_key(draws, site, row, key, lane);
        float s[2][4]{}, dp[2][4]{};
#pragma unroll
        for (int d = 0; d < kHead / 16; ++d) {
            unsigned a[4];
            load_matrices(a, Rows::square(keys, by_row, 0, 2 * d));
            add_product(s, a, queries, 2 * d);
            add_product(dp, value[d], douts, 2 * d);
        }
        unsigned p[4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const float2 of_lse = *reinterpret_cast<const float2*>(lse + 8 * j + 2 * lane.t);
            const float2 of_delta = *reinterpret_cast<const float2*>(delta + 8 * j + 2 * lane.t);
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const auto byte = static_cast<unsigned>(2 * h + j);
                const float p0 = seen[h] ? fast_exp2(fmaf(s[j][2 * h], exponent, -of_lse.x)) : 0.0f;
                const float p1 = seen[h] ? fast_exp2(fmaf(s[j][2 * h + 1], exponent, -of_lse.y)) : 0.0f;
                const float dp0 = kept.first(dp[j][2 * h], byte), dp1 = kept.second(dp[j][2 * h + 1], byte);
                p[2 * j + h] = kept.pair(pair_of<T>(p0, p1), byte);
                ds[2 * j + h] = pair_of<T>(p0 * (dp0 - of_delta.x), p1 * (dp1 - of_delta.y));
            }
        }
        add_rows(dv, p, douts);
        add_rows(dk, ds, queries);
    }

    /// ds of queries `first` … + 15 of a tile, to this warp's rows of the tile of score gradients.
    __device__ void store_gradients(T* rows, int first, const unsigned (&ds)[4]) const {
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
            for (int h = 0; h < 2; ++h)
                *reinterpret_cast<unsigned*>(rows + Scores::at(lane.g + 8 * h, first / 8 + j) + 2 * lane.t) =
                    ds[2 * j + h];
    }

    /// This warp's part of dq = ds · k: 16 queries from `first`, Sizes::kColumns columns from `column`.
    __device__ void store_queries(const T* gradients, const T* keys, int first, int column, int seen_keys, float factor,
                                  T* dq, int stride, int valid) const {
        constexpr int kColumns = Sizes::kColumns;
        float sum[kColumns / 8][4]{};
        const int start = Scores::by_pack(lane);
        for (int key = 0; key < seen_keys; key += 16) {
            unsigned a[4];
            load_transposed(a, Scores::square(gradients, start, key, first / 8));
#pragma unroll
            for (int d = 0; d < kColumns / 16; ++d) {
                unsigned b[4];
                load_transposed(b, Rows::square(keys, by_row, key, column / 8 + 2 * d));
                multiply_add<T>(sum[2 * d], a, b[0], b[1]);
                multiply_add<T>(sum[2 * d + 1], a, b[2], b[3]);
            }
        }
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int query = first + lane.g + 8 * h;
            if (query >= valid) continue;
#pragma unroll
            for (int i = 0; i < kColumns / 8; ++i)
                *reinterpret_cast<unsigned*>(dq + int64_t{query} * stride + column + 8 * i + 2 * lane.t) =
                    pair_of<T>(sum[i][2 * h] * factor, sum[i][2 * h + 1] * factor);
        }
    }
};

/// Log-sum-exp (in powers of two) and delta / c of KeysBlock::kRows queries; beyond the last query such that its
/// probabilities are 0.
template <typename T, int kHead>
__device__ inline void row_sums(const BackwardArgument<T>& a, const Head& head, int first, float* lse, float* delta) {
    constexpr int kPacks = kHead / 8, kThreads = KeysBlock<kHead>::kThreads, kRows = KeysBlock<kHead>::kRows;
    const int pack = static_cast<int>(threadIdx.x % kPacks);
    int row = static_cast<int>(threadIdx.x / kPacks);
#pragma unroll 2
    for (int i = 0; i < kRows * kPacks / kThreads; ++i, row += kThreads / kPacks) {
        const int query = first + row;
        const int64_t offset = head.out(a, query < a.rows_q ? query : 0) + 8 * pack;
        float sum = product_of_packs(a.dout + offset, a.out + offset);
#pragma unroll
        for (int bit = 1; bit < kPacks; bit *= 2) sum += __shfl_xor_sync(kAllLanes, sum, bit);
        if (pack != 0) continue;
        delta[row] = sum * a.kept_share;
        lse[row] = query < a.rows_q ? a.lse[head.lse(a, query)] * kLog2E : INFINITY;
    }
}

/// Two blocks, at head size 64 of 256 threads, run on an SM with 128 registers a thread, which are the
/// limit; shared memory would let more in on most devices. Compute capability 7.5 has shared memory for one block.
#if DROPFORGE_BEFORE_AMPERE
[[maybe_unused]] constexpr int kKeysBlocks = 1;
#else
[[maybe_unused]] constexpr int kKeysBlocks = 2;
#endif
template <typename T, int kHead, bool kAllKeys>
__global__ void __launch_bounds__(KeysBlock<kHead>::kThreads, kKeysBlocks) keys_kernel(BackwardArgument<T> a) {
    using Sizes = KeysBlock<kHead>;
    constexpr int kKeys = Sizes::kKeys, kThreads = Sizes::kThreads, kQueries = Sizes::kQueries, kRows = Sizes::kRows;
    DROPFORGE_SHARED(DropoutKeys, draws);
    DROPFORGE_SHARED(T, keys, [kKeys * kHead]);
    DROPFORGE_SHARED(T, queries, [2][kQueries * kHead]);
    DROPFORGE_SHARED(T, douts, [2][kQueries * kHead]);
    DROPFORGE_SHARED(T, gradients, [kAllKeys ? kKeys * kQueries : 8]);
    DROPFORGE_SHARED(float, lse, [kRows]);
    DROPFORGE_SHARED(float, delta, [kRows]);

    const Head head;
    const int first_key = kAllKeys ? 0 : static_cast<int>(blockIdx.x) * kKeys,
              warp = static_cast<int>(threadIdx.x / kWarp);
    const int my_key = first_key + 16 * warp;
    draws.fill(a.dropout, head.dropout_row(a));

    const auto copy_queries = [&](int query) {
        const int tile = (query & kQueries) / kQueries, valid = a.rows_q - query;
        copy_tile<T, kHead, kQueries, kThreads>(queries[tile], a.q + head.q(a, query), a.stride_q, valid);
        copy_tile<T, kHead, kQueries, kThreads>(douts[tile], a.dout + head.out(a, query), a.stride_out, valid);
        end_copy_group();
    };
    KeysWarp<T, kHead> w;
    T* const my_keys = keys + 16 * warp * kHead;
    int query = first_key < head.keys(a) ? 0 : a.rows_q;
    if (query < a.rows_q) {
        copy_tile<T, kHead, kKeys, kThreads>(keys, a.k + head.kv(a, first_key), a.stride_kv, head.keys(a) - first_key);
        copy_queries(0);
        w.load_values(a.v + head.kv(a, my_key), a.stride_kv, head.keys(a) - my_key);
    }
    for (; query < a.rows_q; query += kQueries) {
        if (query % kRows == 0) {
            if (query > 0) __syncthreads();  // all warps have used the rows before
            row_sums<T, kHead>(a, head, query, lse, delta);
        }
        wait_for_copies<0>();
        __syncthreads();
        if (query + kQueries < a.rows_q) copy_queries(query + kQueries);
        const int tile = (query & kQueries) / kQueries;
        if (my_key < head.keys(a)) {
#pragma unroll 1
            for (int i = 0; i < kQueries; i += 16) {
                unsigned ds[4];
                const int row = (query + i) & (kRows - 1);
                w.add_queries(my_keys, queries[tile] + i * kHead, douts[tile] + i * kHead, lse + row, delta + row,
                              draws, a.dropout.site, static_cast<unsigned>(query + i), static_cast<unsigned>(my_key),
                              a.exponent, ds);
                if constexpr (kAllKeys) w.store_gradients(gradients + 16 * warp * kQueries, i, ds);
            }
        }
        if constexpr (kAllKeys) {
            __syncthreads();
            constexpr int kParts = kQueries / 16;
            w.store_queries(gradients, keys, static_cast<int>(threadIdx.x / kWarp % kParts) * 16,
                            static_cast<int>(threadIdx.x / kWarp / kParts) * Sizes::kColumns, head.keys(a),
                            a.gradient_scale, a.dq + head.q(a, query), a.stride_q, a.rows_q - query);
        }
    }
    __syncthreads();  // all warps have used the keys
    const int valid = a.rows_kv - my_key;
    const int64_t offset = head.kv(a, my_key);
    store_rows<T, kHead>(my_keys, w.dk, a.gradient_scale, a.gradient_scale, a.dk + offset, a.stride_kv, valid);
    store_rows<T, kHead>(my_keys, w.dv, a.dropout.scale, a.dropout.scale, a.dv + offset, a.stride_kv, valid);
}

// ------------------------------------------------------------------------------------------------------------------ dq
/// At head size 64: the queries and their output gradients 16 KiB, two tiles of 32 keys and values 16 KiB.
template <int kHead>
struct QueriesBlock {
    static constexpr int kQueries = kHead <= 64 ? 64 : 32, kThreads = 2 * kQueries;
    static constexpr int kKeys = 2048 / kHead;
};

template <typename T, int kHead>
struct QueriesWarp {
    using Rows = Tile<T, kHead>;

    float dq[kHead / 8][4]{};
    unsigned query[kHead / 16][4], dout[kHead / 16][4];
    float lse[2], delta[2];  // rows g, g + 8
    Lane lane;
    int by_row = Rows::by_row(lane), by_pack = Rows::by_pack(lane);

    __device__ void load_rows(const T* queries, const T* douts) {
#pragma unroll
        for (int d = 0; d < kHead / 16; ++d) {
            load_matrices(query[d], Rows::square(queries, by_row, 0, 2 * d));
            load_matrices(dout[d], Rows::square(douts, by_row, 0, 2 * d));
        }
    }
    /// `first` is the warp's first query.
    __device__ void row_sums(const BackwardArgument<T>& a, const Head& head, int first) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int row = first + lane.g + 8 * h;
            const int64_t offset = head.out(a, row < a.rows_q ? row : 0) + 8 * lane.t;
            float sum = 0;
#pragma unroll
            for (int d = 0; d < kHead; d += 32) sum += product_of_packs(a.dout + offset + d, a.out + offset + d);
            sum += __shfl_xor_sync(kAllLanes, sum, 1);
            sum += __shfl_xor_sync(kAllLanes, sum, 2);
            delta[h] = sum * a.kept_share;
            lse[h] = row < a.rows_q ? a.lse[head.lse(a, row)] * kLog2E : INFINITY;
        }
    }

    /// c [16 queries, 16 keys] += a · bᵀ for rows of keys b.
    __device__ void add_product(float (&c)[2][4], const unsigned (&a)[4], const T* b, int pack) const {
        unsigned rows[4];
        load_matrices(rows, Rows::square(b, by_pack, 0, pack));
        multiply_add<T>(c[0], a, rows[0], rows[1]);
        multiply_add<T>(c[1], a, rows[2], rows[3]);
    }

    /// 16 keys, of which `valid` are seen.
    __device__ void add_keys(const T* keys, const T* values, const DropoutKeys& draws, unsigned site, unsigned row,
                             unsigned key, float exponent, int valid) {
        float s[2][4]{}, dp[2][4]{};
#pragma unroll
        for (int d = 0; d < kHead / 16; ++d) {
            add_product(s, query[d], keys, 2 * d);
            add_product(dp, dout[d], values, 2 * d);
        }
        const auto kept = TileDropout::by_query(draws, site, row, key, lane);
        unsigned ds[4];
#pragma unroll
        for (int j = 0; j < 2; ++j) {
            const int column = 8 * j + 2 * lane.t;
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                const auto byte = static_cast<unsigned>(2 * j + h);
                const float p0 = column < valid ? fast_exp2(fmaf(s[j][2 * h], exponent, -lse[h])) : 0.0f;
                const float p1 = column + 1 < valid ? fast_exp2(fmaf(s[j][2 * h + 1], exponent, -lse[h])) : 0.0f;
                const float dp0 = kept.first(dp[j][2 * h], byte), dp1 = kept.second(dp[j][2 * h + 1], byte);
                ds[2 * j + h] = pair_of<T>(p0 * (dp0 - delta[h]), p1 * (dp1 - delta[h]));
            }
        }
#pragma unroll
        for (int d = 0; d < kHead / 16; ++d) {
            unsigned rows[4];
            load_transposed(rows, Rows::square(keys, by_row, 0, 2 * d));
            multiply_add<T>(dq[2 * d], ds, rows[0], rows[1]);
            multiply_add<T>(dq[2 * d + 1], ds, rows[2], rows[3]);
        }
    }
};

/// dq of 64 queries, for heads with more keys than a block of keys_kernel has; structured as the forward kernel.
template <typename T, int kHead>
__global__ void __launch_bounds__(QueriesBlock<kHead>::kThreads, 4) queries_kernel(BackwardArgument<T> a) {
    using Sizes = QueriesBlock<kHead>;
    constexpr int kQueries = Sizes::kQueries, kKeys = Sizes::kKeys, kThreads = Sizes::kThreads;
    DROPFORGE_SHARED(DropoutKeys, draws);
    DROPFORGE_SHARED(T, queries, [kQueries * kHead]);
    DROPFORGE_SHARED(T, douts, [kQueries * kHead]);
    DROPFORGE_SHARED(T, keys, [2][kKeys * kHead]);
    DROPFORGE_SHARED(T, values, [2][kKeys * kHead]);

    const Head head;
    const int seen = head.keys(a);
    const int first = static_cast<int>(blockIdx.x) * kQueries, warp = static_cast<int>(threadIdx.x / kWarp * 16);
    const auto copy_keys = [&](int key) {
        const int64_t offset = head.kv(a, key);
        const int tile = (key & kKeys) / kKeys, valid = seen - key;
        copy_tile<T, kHead, kKeys, kThreads>(keys[tile], a.k + offset, a.stride_kv, valid);
        copy_tile<T, kHead, kKeys, kThreads>(values[tile], a.v + offset, a.stride_kv, valid);
    };
    copy_tile<T, kHead, kQueries, kThreads>(queries, a.q + head.q(a, first), a.stride_q, a.rows_q - first);
    copy_tile<T, kHead, kQueries, kThreads>(douts, a.dout + head.out(a, first), a.stride_out, a.rows_q - first);
    copy_keys(0);
    end_copy_group();

    draws.fill(a.dropout, head.dropout_row(a));
    const bool idle = first + warp >= a.rows_q;
    QueriesWarp<T, kHead> w;
    w.row_sums(a, head, first + warp);
    for (int key = 0; key < seen; key += kKeys) {
        wait_for_copies<0>();
        __syncthreads();
        if (key + kKeys < seen) copy_keys(key + kKeys);
        end_copy_group();
        if (idle) continue;
        if (key == 0) w.load_rows(queries + warp * kHead, douts + warp * kHead);
        const int tile = (key & kKeys) / kKeys, end = seen - key < kKeys ? seen - key : kKeys;
#pragma unroll 1
        for (int i = 0; i < end; i += 16)
            w.add_keys(keys[tile] + i * kHead, values[tile] + i * kHead, draws, a.dropout.site,
                       static_cast<unsigned>(first + warp), static_cast<unsigned>(key + i), a.exponent, seen - key - i);
    }
    if (idle) return;
    store_rows<T, kHead>(queries + warp * kHead, w.dq, a.gradient_scale, a.gradient_scale,
                         a.dq + head.q(a, first + warp), a.stride_q, a.rows_q - first - warp);
}

template <typename T, int kHead>
void backward(const AttentionBackward& a, Context& context) {
    using Sizes = KeysBlock<kHead>;
    const BackwardArgument<T> argument(a);
    const LaunchShape shape = shape_of_heads(a, a.rows_kv, Sizes::kKeys, Sizes::kThreads);
    if (a.rows_kv <= Sizes::kKeys) return launch(keys_kernel<T, kHead, true>, context, shape, argument);
    launch(keys_kernel<T, kHead, false>, context, shape, argument);
    if (a.rows_q > 0)
        launch(queries_kernel<T, kHead>, context,
               shape_of_heads(a, a.rows_q, QueriesBlock<kHead>::kQueries, QueriesBlock<kHead>::kThreads), argument);
}

void backward_tensor(const AttentionBackward& a, Context& context) {
    with_16_bit_type(a.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        if (a.head_size == 32)
            backward<T, 32>(a, context);
        else if (a.head_size == 64)
            backward<T, 64>(a, context);
        else
            backward<T, 128>(a, context);
    });
}

}  // namespace dropforge::kernels::on_cuda::attention
