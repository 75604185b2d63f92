// The inner product of GEMM and attention: an 8 x 16·N block of c = a · b held in AVX-512 registers.
//
// Operands are streams of 32-bit words: one f32, or a pair of bf16 that are neighbours in k (VDPBF16PS multiplies both
// and adds them to one f32). So f32 and bf16 share all packing and blocking; they differ in the instruction, and in k
// counting words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/simd.h"
#include "kernels/dtype.h"

#if DROPFORGE_AVX512

namespace dropforge::kernels::on_cpu {

/// 8 rows of 3 vectors (of 16 f32): 24 accumulators, 3 of b, 1 of a are 28 of 32 registers; 11 loads for 24 FMA.
constexpr int kTileRows = 8, kTileVectors = 3;

template <typename T>
constexpr int64_t kPerWord = static_cast<int64_t>(sizeof(float) / sizeof(T));

/// Words of k elements; the half of a last odd word is packed as 0.
template <typename T>
constexpr int64_t words_of(int64_t k) {
    return (k + kPerWord<T> - 1) / kPerWord<T>;
}

inline __m512 multiply_add(float, __m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
#ifdef __AVX512BF16__
inline __m512 multiply_add(bf16, __m512 a, __m512 b, __m512 c) {
    return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}
#endif

/// Where the 8 rows of a lie: in rows `stride` bytes apart whose words are neighbours, or in columns (one word of each
/// of the 8 rows side by side, the next word `stride` bytes further).
enum class TileA { rows, columns };

/// Words that one register adds up before the sum goes to memory. In f32 the rounding error of a sum of n terms in
/// pieces of p grows with p + n / p, and with p = n it would be larger than that of PyTorch's libraries. p = 16 costs
/// some percent of speed, so only short sums, which it serves best, have it. bf16 operands are coarser anyway.
template <typename T>
constexpr int64_t piece_of(int64_t words) {
    return sizeof(T) < sizeof(float) ? words : words <= 128 ? 16 : 32;
}

template <typename T, int N>
struct Tile {
    __m512 c[kTileRows][N];

    /// c = a · b over `words` of k; b is a packed panel: [words][16·N].
    template <TileA layout>
    [[gnu::always_inline]] void multiply(int64_t words, const void* a, int64_t stride, const float* b) {
        const int64_t piece = piece_of<T>(words);
        if (words <= piece) return chain<layout>(words, a, stride, b);
        __m512 sums[kTileRows][N];
        chain<layout>(piece, a, stride, b);
        std::memcpy(sums, c, sizeof sums);
        for (int64_t k = piece; k < words; k += piece) {
            const char* from = static_cast<const char*>(a) + k * (layout == TileA::columns ? stride : 4);
            chain<layout>(std::min(piece, words - k), from, stride, b + k * kLanes * N);
#pragma GCC unroll 8
            for (int i = 0; i < kTileRows; ++i)
#pragma GCC unroll 3
                for (int j = 0; j < N; ++j) sums[i][j] = _mm512_add_ps(sums[i][j], c[i][j]);
        }
        std::memcpy(c, sums, sizeof sums);
    }

  private:
    template <TileA layout>
    [[gnu::always_inline]] void chain(int64_t words, const void* a, int64_t stride, const float* b) {
#pragma GCC unroll 8
        for (auto& row : c)
#pragma GCC unroll 3
            for (__m512& v : row) v = _mm512_setzero_ps();
        const auto* base = static_cast<const char*>(a);
        const char* base3 = base + 3 * stride;
        const char* base6 = base + 6 * stride;
        for (int64_t k = 0; k < words; ++k, b += kLanes * N) {
            __m512 column[N];
#pragma GCC unroll 3
            for (int j = 0; j < N; ++j) column[j] = _mm512_loadu_ps(b + kLanes * j);
#pragma GCC unroll 8
            for (int i = 0; i < kTileRows; ++i) {
                float word;
                if constexpr (layout == TileA::columns)
                    std::memcpy(&word, base + 4 * i, sizeof word);
                else
                    std::memcpy(&word, (i < 3 ? base : i < 6 ? base3 : base6) + (i % 3) * stride, sizeof word);
                const __m512 row = _mm512_set1_ps(word);
#pragma GCC unroll 3
                for (int j = 0; j < N; ++j) c[i][j] = multiply_add(T{}, row, column[j], c[i][j]);
            }
            if constexpr (layout == TileA::columns) {
                base += stride;
            } else {
                base += 4, base3 += 4, base6 += 4;
            }
        }
    }
};

/// The first `n` lanes (n may be ≤ 0 or > 16).
inline __mmask16 first_lanes(int64_t n) {
    return n >= kLanes ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1u << n) - 1);
}
inline __mmask32 first_halves(int64_t n) { return n >= 32 ? 0xffffffffu : n <= 0 ? 0 : (1u << n) - 1; }

inline __m512 load(const float* p, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, p); }
inline __m512 load(const bf16* p, __mmask16 mask) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, p)), 16));
}
inline void store(float* p, __m512 v, __mmask16 mask) { _mm512_mask_storeu_ps(p, mask, v); }
inline void store(bf16* p, __m512 v, __mmask16 mask) {
#ifdef __AVX512BF16__
    _mm256_mask_storeu_epi16(p, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
#else
    const __m512i w = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(w, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(w, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    _mm256_mask_storeu_epi16(p, mask,
                             _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, _mm512_set1_epi32(0x7fc0))));
#endif
}

}  // namespace dropforge::kernels::on_cpu
#endif
