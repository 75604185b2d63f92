// Packing for microkernel.h: operands copied into panels of words that the tile reads in order. A word is one f32 or
// two bf16.
#pragma once

#include <algorithm>

#include "kernels/cpu/microkernel.h"

#if DROPFORGE_AVX512

namespace dropforge::kernels::on_cpu {

/// 16 words along k of one row whose `count` elements (may be ≤ 0) are neighbours; beyond them 0.
inline __m512 load_words(const float* p, int64_t count) { return load(p, first_lanes(count)); }
inline __m512 load_words(const bf16* p, int64_t count) {
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(first_halves(count), p));
}

/// One word of each of `count` ≤ 16 columns: column j holds elements k of x[k * stride + j]; `pair`: whether row k + 1
/// exists (bf16).
inline __m512 gather_words(const float* x, int64_t, bool, __mmask16 columns) { return load(x, columns); }
inline __m512 gather_words(const bf16* x, int64_t stride, bool pair, __mmask16 columns) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, x));
    if (!pair) return _mm512_castsi512_ps(low);
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(columns, x + stride));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

/// Transposes 16 x 16 words in registers.
[[gnu::always_inline]] inline void transpose16(__m512 (&r)[16]) {
    __m512 t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 2]), c = _mm512_castps_pd(t[i + 1]),
                      d = _mm512_castps_pd(t[i + 3]);
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/// Packs a panel of `width` (a multiple of 16) columns from x whose rows are k: panel[word][width] = x[k * stride + j];
/// columns ≥ `columns` become 0.
template <typename T>
void pack_panel(const T* x, int64_t stride, int64_t k, int64_t columns, int64_t width, float* panel) {
    for (int64_t i = 0; i < k; i += kPerWord<T>, panel += width, x += stride * kPerWord<T>)
        for (int64_t j = 0; j < width; j += kLanes)
            _mm512_storeu_ps(panel + j, gather_words(x + j, stride, i + 1 < k, first_lanes(columns - j)));
}

/// The same panel from x whose rows are the panel's columns: panel[word][width] = x[j * stride + k].
template <typename T>
void pack_panel_transposed(const T* x, int64_t stride, int64_t k, int64_t columns, int64_t width, float* panel) {
    const int64_t words = words_of<T>(k);
    for (int64_t j = 0; j < width; j += kLanes)
        for (int64_t w = 0; w < words; w += kLanes) {
            __m512 block[16];
            for (int64_t i = 0; i < kLanes; ++i)
                block[i] = j + i < columns ? load_words(x + (j + i) * stride + w * kPerWord<T>, k - w * kPerWord<T>)
                                           : _mm512_setzero_ps();
            transpose16(block);
            for (int64_t i = 0; i < kLanes && w + i < words; ++i)
                _mm512_storeu_ps(panel + (w + i) * width + j, block[i]);
        }
}

/// 16 rows of one word into the two tiles of 8 that hold them; the second exists only if `both`.
inline void put_in_tiles(float* first, int64_t words, int64_t w, __m512 v, bool both) {
    _mm256_storeu_ps(first + w * kTileRows, _mm512_castps512_ps256(v));
    if (both) _mm256_storeu_ps(first + (words + w) * kTileRows, _mm512_extractf32x8_ps(v, 1));
}

/// Packs rows of a for TileA::columns: tiles of 8 rows, tile t at panel + t * words * 8, [word][8]. x[i * stride + k].
template <typename T>
void pack_tiles(const T* x, int64_t stride, int64_t rows, int64_t k, float* panel) {
    const int64_t words = words_of<T>(k);
    for (int64_t i = 0; i < rows; i += kLanes)
        for (int64_t w = 0; w < words; w += kLanes) {
            __m512 block[16];
            for (int64_t r = 0; r < kLanes; ++r)
                block[r] = i + r < rows ? load_words(x + (i + r) * stride + w * kPerWord<T>, k - w * kPerWord<T>)
                                        : _mm512_setzero_ps();
            transpose16(block);
            for (int64_t r = 0; r < kLanes && w + r < words; ++r)
                put_in_tiles(panel + i * words, words, w + r, block[r], i + kTileRows < rows);
        }
}

/// The same tiles from x whose rows lie along k: x[k * stride + i]. Takes a few rows of x at a time: down a whole
/// column every load would be on another page, and along a whole row every store in another tile, all in the same set
/// of the cache.
template <typename T>
void pack_tiles_transposed(const T* x, int64_t stride, int64_t rows, int64_t k, float* panel) {
    constexpr int64_t kWords = 8;
    const int64_t words = words_of<T>(k);
    for (int64_t first = 0; first < words; first += kWords)
        for (int64_t i = 0; i < rows; i += kLanes) {
            const __mmask16 columns = first_lanes(rows - i);
            for (int64_t w = first; w < std::min(first + kWords, words); ++w)
                put_in_tiles(panel + i * words, words, w,
                             gather_words(x + w * kPerWord<T> * stride + i, stride, w * kPerWord<T> + 1 < k, columns),
                             i + kTileRows < rows);
        }
}

}  // namespace dropforge::kernels::on_cpu
#endif
