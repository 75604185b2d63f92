// Shared by the attention kernels: the addresses of a block's head, tiles of rows in shared memory, and the dropout of
// a tile of scores. attention.cu chooses the kernel of a call.
#pragma once

#include "kernels/cuda/runtime/dropout.cuh"
#include "kernels/cuda/runtime/mma.cuh"

namespace dropforge::kernels::on_cuda::attention {

// Tensor cores; 16-bit storage, head sizes 32, 64, 128, rows aligned to 16 bytes.
void forward_tensor(const AttentionForward&, Context&);
void backward_tensor(const AttentionBackward&, Context&);
// f32 arithmetic, any storage and strides, head sizes up to kMaxPlainHead.
void forward_plain(const AttentionForward&, Context&);
void backward_plain(const AttentionBackward&, Context&);
constexpr int kMaxPlainHead = 128;

constexpr float kLog2E = 1.442695040888963f, kLn2 = 0.6931471805599453f;

// -------------------------------------------------------------------------------------------------------------- layout
/// AttentionArguments without q, k and v, as part of a kernel's argument.
struct AttentionSizes {
    explicit AttentionSizes(const AttentionArguments& a)
        : lengths(a.lengths),
          heads(static_cast<int>(a.heads)),
          head_size(static_cast<int>(a.head_size)),
          rows_q(static_cast<int>(a.rows_q)),
          rows_kv(static_cast<int>(a.rows_kv)),
          stride_q(static_cast<int>(a.stride_q)),
          stride_kv(static_cast<int>(a.stride_kv)),
          stride_out(static_cast<int>(a.stride_out)),
          scale(a.scale),
          exponent(a.scale * kLog2E),
          gradient_scale(a.scale * a.dropout.scale()),
          kept_share(1 / a.dropout.scale()),
          dropout(a.dropout, a.heads * a.rows_q) {}
    const int32_t* lengths;
    int heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out;
    float scale, exponent;             // of scores: e^(scale·s) = 2^(exponent·s)
    float gradient_scale, kept_share;  // scale * dropout's scale; 1 / dropout's scale
    DropoutArgument dropout;
};

template <typename T>
struct ForwardArgument : AttentionSizes {
    explicit ForwardArgument(const AttentionForward& a)
        : AttentionSizes(a),
          q(static_cast<const T*>(a.q)),
          k(static_cast<const T*>(a.k)),
          v(static_cast<const T*>(a.v)),
          out(static_cast<T*>(a.out)),
          lse(a.lse) {}
    const T *q, *k, *v;
    T* out;
    float* lse;
};

template <typename T>
struct BackwardArgument : AttentionSizes {
    explicit BackwardArgument(const AttentionBackward& a)
        : AttentionSizes(a),
          q(static_cast<const T*>(a.q)),
          k(static_cast<const T*>(a.k)),
          v(static_cast<const T*>(a.v)),
          out(static_cast<const T*>(a.out)),
          dout(static_cast<const T*>(a.dout)),
          lse(a.lse),
          dq(static_cast<T*>(a.dq)),
          dk(static_cast<T*>(a.dk)),
          dv(static_cast<T*>(a.dv)) {}
    const T *q, *k, *v, *out, *dout;
    const float* lse;
    T *dq, *dk, *dv;
};

/// The head of a sequence that this block works for: block (rows, head, sequence) of the grid. Blocks of one head are
/// neighbours, so that they find its keys and values in the second-level cache. Everything is made from the block's
/// index where it is needed, since registers are scarce.
struct Head {
    /// Number of keys attended to; later ones are not read.
    __device__ int keys(const AttentionSizes& a) const { return a.lengths ? a.lengths[blockIdx.z] : a.rows_kv; }

    // Element offsets of a row.
    __device__ int64_t q(const AttentionSizes& a, int row) const { return at(a, a.rows_q, a.stride_q, row); }
    __device__ int64_t kv(const AttentionSizes& a, int row) const { return at(a, a.rows_kv, a.stride_kv, row); }
    __device__ int64_t out(const AttentionSizes& a, int row) const { return at(a, a.rows_q, a.stride_out, row); }
    /// A query's place in lse.
    __device__ unsigned lse(const AttentionSizes& a, int query) const {
        return dropout_row(a) + static_cast<unsigned>(query);
    }
    /// Query 0's row of dropout, modulo 2^32.
    __device__ unsigned dropout_row(const AttentionSizes& a) const { return task(a) * static_cast<unsigned>(a.rows_q); }

  private:
    __device__ static unsigned task(const AttentionSizes& a) {
        return blockIdx.z * static_cast<unsigned>(a.heads) + blockIdx.y;
    }
    __device__ static int64_t at(const AttentionSizes& a, int rows, int stride, int row) {
        const unsigned of_call = blockIdx.z * static_cast<unsigned>(rows) + static_cast<unsigned>(row);
        return int64_t{of_call} * stride + static_cast<int>(blockIdx.y) * a.head_size;
    }
};

/// A block of threads for each `rows` of `of` rows of every head.
template <typename Attention>
LaunchShape shape_of_heads(const Attention& a, int64_t of, int rows, int threads, const char* file = __builtin_FILE(),
                           unsigned line = __builtin_LINE()) {
    const dim3 grid(blocks_for(of, rows), static_cast<unsigned>(a.heads), static_cast<unsigned>(a.batch));
    return {grid, static_cast<unsigned>(threads), file, line};
}

// --------------------------------------------------------------------------------------------------------------- tiles
/// A lane's coordinates g and t in the fragments of mma.cuh.
struct Lane {
    int lane = static_cast<int>(threadIdx.x % kWarp), g = static_cast<int>(threadIdx.x % kWarp / 4),
        t = static_cast<int>(threadIdx.x % 4);
};

/// Rows of kColumns elements of 16 bits in shared memory, in packs of 16 bytes. Packs are permuted in a row, so that
/// the eight rows of a matrix lie in all 32 banks, and so do eight neighbouring packs of a row.
template <typename T, int kColumns>
struct Tile {
    static constexpr int kPacks = kColumns / 8;
    __device__ static int permuted(int row, int pack) {
        const auto r = static_cast<unsigned>(row);
        return pack ^ static_cast<int>(kPacks >= 8 ? r % 8 : r / (8 / kPacks) % kPacks);
    }
    /// The offset of pack `pack` of a row, in elements.
    __device__ static int at(int row, int pack) { return row * kColumns + permuted(row, pack) * 8; }

    /// The matrices of mma.cuh in a square of 16 rows and 16 columns of a tile (row a multiple of 16, pack of 2), in
    /// two orders. `start` is that of the lane, so that an address costs two operations.
    ///     by_row:  rows 0-7, rows 8-15 of the first eight columns, then of the last eight
    ///     by_pack: first and last eight columns of rows 0-7, then of rows 8-15
    __device__ static int by_row(const Lane& l) { return at(l.lane % 16, l.lane / 16); }
    __device__ static int by_pack(const Lane& l) { return at(l.lane / 16 * 8 + l.lane % 8, l.lane / 8 % 2); }
    __device__ static const T* square(const T* tile, int start, int row, int pack) {
        return tile + row * kColumns + (start ^ pack * 8);
    }
};

/// Queues copies of rows 0 … kRows-1 of `from` to a tile; from `valid` on they are 0.
template <typename T, int kColumns, int kRows, int kThreads>
__device__ inline void copy_tile(T* tile, const T* from, int stride, int valid) {
    constexpr unsigned kPacks = kColumns / 8, kAll = kRows * kPacks;
#pragma unroll
    for (unsigned first = 0; first < kAll; first += kThreads) {
        const unsigned i = first + threadIdx.x;
        const int row = static_cast<int>(i / kPacks), pack = static_cast<int>(i % kPacks);
        if (kAll % kThreads != 0 && i >= kAll) return;
        const bool inside = row < valid;
        copy_pack(tile + Tile<T, kColumns>::at(row, pack), from + int64_t{inside ? row : 0} * stride + pack * 8,
                  inside);
    }
}

/// Writes the sums [16, kColumns] of a warp, times `factor`, to rows 0 … valid-1 of `to`: by way of its 16 rows of a
/// tile that no other warp uses, so that whole rows are written.
template <typename T, int kColumns>
__device__ inline void store_rows(T* tile, const float (&sum)[kColumns / 8][4], float factor, float factor8, T* to,
                                  int stride, int valid) {
    using Rows = Tile<T, kColumns>;
    const Lane l;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kColumns / 8; ++i) {
        *reinterpret_cast<unsigned*>(tile + Rows::at(l.g, i) + 2 * l.t) =
            pair_of<T>(sum[i][0] * factor, sum[i][1] * factor);
        *reinterpret_cast<unsigned*>(tile + Rows::at(l.g + 8, i) + 2 * l.t) =
            pair_of<T>(sum[i][2] * factor8, sum[i][3] * factor8);
    }
    __syncwarp();
#pragma unroll
    for (int first = 0; first < 16 * Rows::kPacks; first += kWarp) {
        const int i = first + l.lane, row = i / Rows::kPacks, pack = i % Rows::kPacks;
        if (row < valid)
            *reinterpret_cast<uint4*>(to + int64_t{row} * stride + pack * 8) =
                *reinterpret_cast<const uint4*>(tile + Rows::at(row, pack));
    }
}

// ------------------------------------------------------------------------------------------------------------- dropout
/// The keys of a launch's draws, in shared memory: in registers the keys of all rounds would displace the tiles.
struct DropoutKeys {
    uint2 round[kPhiloxRounds];
    unsigned step, first_row;
    unsigned threshold;  // of a draw in the upper half of a word; 0: dropout is off

    /// Called by all threads of a block, and followed by a barrier. `head_row` is the row of the head's first query.
    __device__ void fill(const DropoutArgument& d, unsigned head_row) {
        if (threadIdx.x == 0) threshold = d.threshold << 16;
        if (d.threshold == 0 || threadIdx.x >= kPhiloxRounds) return;
        round[threadIdx.x] = philox_key(make_uint2(d.state[0], d.state[1]), threadIdx.x);
        if (threadIdx.x > 0) return;
        step = d.state[2];
        first_row = d.state[3] * d.rows_per_sequence + head_row;  // modulo 2^32, as the counter takes it
    }
    /// Of the columns 8·pack … 8·pack + 7 of a row of the head: the lower half of x, the upper half of x, …
    __device__ uint4 draw(unsigned row, unsigned pack, unsigned site) const {
        uint4 counter = make_uint4(pack, first_row + row, site, step);
#pragma unroll
        for (const uint2& key : round) counter = philox_round(counter, key);
        return counter;
    }
};

/// Dropout of 16 queries and 16 keys, drawn by a warp. Philox gives eight keys of a query at once: a lane draws for
/// query lane % 16 and keys 8·(lane / 16) …, and eight votes bring the bits to where scores are held. So a lane draws
/// once for the eight scores that it holds.
struct TileDropout {
    unsigned low = ~0u, high = ~0u;  // whether a score is kept: the highest bits of bytes

    /// For scores [16 queries, 16 keys]: byte 2·j + h is of key block j (of 8), query g + 8·h; low, high: keys 2t, 2t
    /// + 1.
    __device__ static TileDropout by_query(const DropoutKeys& keys, unsigned site, unsigned row, unsigned key,
                                           const Lane& l) {
        if (keys.threshold == 0) return {};
        unsigned kept[8];
        votes(keys, site, row, key, l, kept);
        const int shift = 7 - l.g;
        return {choose(kept[0], kept[2], kept[4], kept[6], l.t) << shift,
                choose(kept[1], kept[3], kept[5], kept[7], l.t) << shift};
    }
    /// For scores [16 keys, 16 queries]: byte 2·h + j is of query block j (of 8), key g + 8·h; low, high: queries 2t,
    /// 2t + 1.
    __device__ static TileDropout by_key(const DropoutKeys& keys, unsigned site, unsigned row, unsigned key,
                                         const Lane& l) {
        if (keys.threshold == 0) return {};
        unsigned kept[8];
        votes(keys, site, row, key, l, kept);
        const unsigned row_g = l.g < 4 ? choose(kept[0], kept[1], kept[2], kept[3], l.g)
                                       : choose(kept[4], kept[5], kept[6], kept[7], l.g - 4);
        return {row_g << (7 - 2 * l.t), row_g << (6 - 2 * l.t)};
    }

    /// A pair of 16-bit elements, or zeros in its place.
    __device__ unsigned pair(unsigned elements, unsigned byte) const {
        return elements & spread_signs(low, high, byte * 0x11u | (byte + 4) * 0x1100u);
    }
    __device__ float first(float value, unsigned byte) const { return masked(value, low, byte); }
    __device__ float second(float value, unsigned byte) const { return masked(value, high, byte); }

  private:
    __device__ static float masked(float value, unsigned bits, unsigned byte) {
        return __uint_as_float(__float_as_uint(value) & spread_signs(bits, bits, byte * 0x1111u));
    }
    __device__ static unsigned choose(unsigned a, unsigned b, unsigned c, unsigned d, int which) {
        return which < 2 ? (which == 0 ? a : b) : (which == 2 ? c : d);
    }
    /// kept[i], bit l: whether the score of key + 8·(l / 16) + i and query row + l % 16 is kept.
    __device__ static void votes(const DropoutKeys& keys, unsigned site, unsigned row, unsigned key, const Lane& l,
                                 unsigned (&kept)[8]) {
        const uint4 drawn =
            keys.draw(row + static_cast<unsigned>(l.lane % 16), key / 8 + static_cast<unsigned>(l.lane / 16), site);
        const unsigned word[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            kept[2 * i] = __ballot_sync(kAllLanes, word[i] << 16 >= keys.threshold);
            kept[2 * i + 1] = __ballot_sync(kAllLanes, word[i] >= keys.threshold);
        }
    }
};

}  // namespace dropforge::kernels::on_cuda::attention
