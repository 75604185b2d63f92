// The microkernel of GEMM and attention: a tile of c = a · b in registers, kTileRows rows of up to kTileVectors
// vectors. AMX has registers for tiles and a microkernel of its own (microkernel_amx.h).
//
// Operands are streams of 32-bit words: one f32, or, where the level has bf16 dot products (VDPBF16PS), a pair of bf16
// that are neighbours in k, whose products are added to one f32. At other levels packing widens bf16 to f32, so that
// bf16 is only a storage type. f32 and bf16 share all packing and blocking; they differ in the instruction, and in that
// k counts words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/simd.h"
#include "kernels/dtype.h"

namespace dropforge::kernels::on_cpu {

/// 8 rows of 3 vectors with AVX-512: 24 accumulators, 3 of b, 1 of a are 28 of 32 registers; 11 loads for 24 FMA. 4
/// rows of 3 with AVX2: 12 + 3 + 1 of 16 registers; 7 loads for 12 FMA.
template <typename T>
constexpr int kTileRows = kLanes / 2;
template <typename T>
constexpr int kTileVectors = 3;

/// Elements of T in a word: 2 for bf16 where the level multiplies pairs of bf16, else 1.
template <typename T>
constexpr int64_t kPerWord = 1;
#if DROPFORGE_DOT_BF16
template <>
inline constexpr int64_t kPerWord<bf16> = 2;
#endif

/// Words that are multiplied at a time.
template <typename T>
constexpr int64_t kStepWords = 1;
#if DROPFORGE_AMX
// 2 x 2 registers of 16 rows of 16 words: 4 loads for 4 multiplications, which take twice as long.
template <>
inline constexpr int kTileRows<bf16> = 2 * kLanes;
template <>
inline constexpr int kTileVectors<bf16> = 2;
template <>
inline constexpr int64_t kStepWords<bf16> = kLanes;
#endif

/// Whether words of T are the same in memory, so that a row can be multiplied in place.
template <typename T>
constexpr bool kInPlace = kPerWord<T> * sizeof(T) == sizeof(float);

/// Elements along k that are multiplied at a time.
template <typename T>
constexpr int64_t kStep = kStepWords<T>* kPerWord<T>;

/// Words of k elements, in whole steps; what lies beyond the k elements is packed as 0.
template <typename T>
constexpr int64_t words_of(int64_t k) {
    return (k + kStep<T> - 1) / kStep<T> * kStepWords<T>;
}

/// c + a · b, word by word.
template <typename T>
[[gnu::always_inline]] inline f32v multiply_add(f32v a, f32v b, f32v c) {
#if DROPFORGE_DOT_BF16
    if constexpr (kPerWord<T> == 2)
        return std::bit_cast<f32v>(
            _mm512_dpbf16_ps(std::bit_cast<__m512>(c), std::bit_cast<__m512bh>(a), std::bit_cast<__m512bh>(b)));
#endif
    return c + a * b;
}

/// The layout of a tile of a: rows `stride` bytes apart with contiguous words; columns (a word of each of the tile's
/// rows next to each other, the next words `stride` bytes further); for AMX instead of columns, blocks: rows of one
/// step next to each other, then those of the next.
enum class TileA { rows, columns, blocks };
/// That of packed tiles.
template <typename T>
constexpr TileA kPackedTile = kStepWords<T> > 1 ? TileA::blocks : TileA::columns;
/// The stride of packed tiles, in bytes.
template <typename T>
constexpr int64_t kPackedStride = 4 * (kStepWords<T> > 1 ? kStepWords<T> : kTileRows<T>);

/// Words that a register adds up before the sum is added to memory. In f32 the rounding error of a sum of n terms in
/// pieces of p grows with p + n / p; with p = n it would be larger than that of PyTorch's libraries. p = 16 costs 6 %
/// of speed, p = 64 less than 2. bf16 operands are coarser anyway.
template <typename T>
constexpr int64_t piece_of(int64_t words) {
    return sizeof(T) < sizeof(float) ? words : words <= 128 ? 32 : 64;
}

template <typename T, int N>
struct Tile {
    f32v c[kTileRows<T>][N];

    /// c = a · b over `words` of k; b is a packed panel: [words][kLanes·N].
    template <TileA layout>
    [[gnu::always_inline]] void multiply(int64_t words, const void* a, int64_t stride, const float* b) {
        const int64_t piece = piece_of<T>(words);
        if (words <= piece) return chain<layout>(words, a, stride, b);
        f32v sums[kTileRows<T>][N];
        chain<layout>(piece, a, stride, b);
        std::memcpy(sums, c, sizeof sums);
        for (int64_t k = piece; k < words; k += piece) {
            const char* from = static_cast<const char*>(a) + k * (layout == TileA::columns ? stride : 4);
            chain<layout>(std::min(piece, words - k), from, stride, b + k * kLanes * N);
#pragma GCC unroll 8
            for (int i = 0; i < kTileRows<T>; ++i)
#pragma GCC unroll 3
                for (int j = 0; j < N; ++j) sums[i][j] += c[i][j];
        }
        std::memcpy(c, sums, sizeof sums);
    }

  private:
    template <TileA layout>
    [[gnu::always_inline]] void chain(int64_t words, const void* a, int64_t stride, const float* b) {
#pragma GCC unroll 8
        for (auto& row : c)
#pragma GCC unroll 3
            for (f32v& v : row) v = f32v{};
        const auto* base = static_cast<const char*>(a);
        const char* base3 = base + 3 * stride;
        const char* base6 = base + 6 * stride;
        for (int64_t k = 0; k < words; ++k, b += kLanes * N) {
            f32v column[N];
#pragma GCC unroll 3
            for (int j = 0; j < N; ++j) column[j] = load(b + kLanes * j);
#pragma GCC unroll 8
            for (int i = 0; i < kTileRows<T>; ++i) {
                float word;
                if constexpr (layout == TileA::columns)
                    std::memcpy(&word, base + 4 * i, sizeof word);
                else
                    std::memcpy(&word, (i < 3 ? base : i < 6 ? base3 : base6) + (i % 3) * stride, sizeof word);
                const f32v row = broadcast(word);
#pragma GCC unroll 3
                for (int j = 0; j < N; ++j) c[i][j] = multiply_add<T>(row, column[j], c[i][j]);
            }
            if constexpr (layout == TileA::columns) {
                base += stride;
            } else {
                base += 4;
                base3 += 4;
                base6 += 4;
            }
        }
    }
};

}  // namespace dropforge::kernels::on_cpu
