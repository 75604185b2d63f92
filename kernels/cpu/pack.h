// Packing for microkernel.h: operands copied into panels of words that the tile reads in order. A word is one f32 or
// two bf16.
#pragma once

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

/// Packs rows of a for TileA::columns: tiles of 8 rows, tile t at panel + t * words * 8, [word][8]. x[k * stride + i]
/// if `transposed` (x has its rows along k), else x[i * stride + k].
template <typename T>
void pack_tiles(const T* x, int64_t stride, bool transposed, int64_t rows, int64_t k, float* panel) {
    const int64_t words = words_of<T>(k);
    for (int64_t i = 0; i < rows; i += kLanes) {
        float* low = panel + i * words;
        float* high = i + kTileRows < rows ? low + words * kTileRows : nullptr;
        const auto put = [&](int64_t w, __m512 v) {
            _mm256_storeu_ps(low + w * kTileRows, _mm512_castps512_ps256(v));
            if (high) _mm256_storeu_ps(high + w * kTileRows, _mm512_extractf32x8_ps(v, 1));
        };
        if (transposed) {
            const __mmask16 mask = first_lanes(rows - i);
            for (int64_t w = 0; w < words; ++w)
                put(w, gather_words(x + w * kPerWord<T> * stride + i, stride, w * kPerWord<T> + 1 < k, mask));
            continue;
        }
        for (int64_t w = 0; w < words; w += kLanes) {
            __m512 block[16];
            for (int64_t r = 0; r < kLanes; ++r)
                block[r] = i + r < rows ? load_words(x + (i + r) * stride + w * kPerWord<T>, k - w * kPerWord<T>)
                                        : _mm512_setzero_ps();
            transpose16(block);
            for (int64_t r = 0; r < kLanes && w + r < words; ++r) put(w + r, block[r]);
        }
    }
}

}  // namespace dropforge::kernels::on_cpu
#endif
