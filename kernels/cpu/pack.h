// Packing for microkernel.h: operands copied into panels of words that the tile reads in order. A word is one f32, into
// which bf16 is widened here, or two bf16.
#pragma once

#include <algorithm>

#include "kernels/cpu/microkernel_amx.h"

namespace dropforge::kernels::on_cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/// kLanes words along k of one row whose `count` elements (may be ≤ 0) are neighbours; beyond them 0.
template <typename T>
inline f32v load_words(const T* p, int64_t count) {
#if DROPFORGE_DOT_BF16
    if constexpr (kPerWord<T> == 2) {
        const auto mask = static_cast<__mmask32>((uint64_t{1} << std::clamp<int64_t>(count, 0, 2 * kLanes)) - 1);
        return std::bit_cast<f32v>(_mm512_maskz_loadu_epi16(mask, p));
    }
#endif
    return count >= kLanes ? load(p) : count <= 0 ? f32v{} : load(p, first_lanes(count));
}

/// One word of each of the first `columns` of kLanes columns: column j's elements are x[k * stride + j]. `pair`:
/// whether row k + 1 exists (two bf16 a word).
template <typename T, typename Count>
inline f32v gather_words(const T* x, [[maybe_unused]] int64_t stride, [[maybe_unused]] bool pair, Count columns) {
#if DROPFORGE_DOT_BF16
    if constexpr (kPerWord<T> == 2) {
        const u32v low = std::bit_cast<u32v>(widen(load_bits(x, columns))) >> 16;
        if (!pair) return std::bit_cast<f32v>(low);
        return std::bit_cast<f32v>(low | std::bit_cast<u32v>(widen(load_bits(x + stride, columns))));
    }
#endif
    return load(x, columns);
}

// ------------------------------------------------------------------------------------------------------------
// transpose
/// Lane i of the result is lane kFrom(i) of a, or of b from kLanes on.
template <typename From, int... kLane>
[[gnu::always_inline]] inline f32v pick(f32v a, f32v b, From, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(a, b, From{}(kLane)...);
}
/// Swaps the blocks of kSize lanes off the diagonal of the 2 x 2 that a and b are made of, wherever such blocks are.
template <int kSize>
[[gnu::always_inline]] inline void swap_blocks(f32v& a, f32v& b) {
    constexpr std::make_integer_sequence<int, kLanes> lanes;
    const auto upper = [](int i) { return (i & kSize) == 0 ? i : i - kSize + kLanes; };
    const auto lower = [](int i) { return (i & kSize) == 0 ? i + kSize : i + kLanes; };
    const f32v first = pick(a, b, upper, lanes);
    b = pick(a, b, lower, lanes);
    a = first;
}
template <int kSize>
[[gnu::always_inline]] inline void swap_all_blocks(f32v (&r)[kLanes]) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i)
        if ((i & kSize) == 0) swap_blocks<kSize>(r[i], r[i + kSize]);
}
/// Transposes kLanes x kLanes words in registers.
[[gnu::always_inline]] inline void transpose(f32v (&r)[kLanes]) {
    if constexpr (kLanes > 8) swap_all_blocks<8>(r);
    if constexpr (kLanes > 4) swap_all_blocks<4>(r);
    swap_all_blocks<2>(r);
    swap_all_blocks<1>(r);
}

// ---------------------------------------------------------------------------------------------------------------
// panels
/// Rows to prefetch where few elements of each are read: the CPU does not predict strides this long.
constexpr int64_t kAhead = 16;
template <typename T>
constexpr int64_t kLine = static_cast<int64_t>(64 / sizeof(T));

/// Packs a panel of `width` (a multiple of kLanes) columns from x whose rows are k: panel[word][width] = x[k * stride +
/// j]; columns ≥ `columns` become 0.
template <typename T>
void pack_panel(const T* x, int64_t stride, int64_t k, int64_t columns, int64_t width, float* panel) {
    const int64_t full_columns = std::min(columns / kLanes * kLanes, width);
    for (int64_t i = 0; i < k; i += kPerWord<T>, panel += width, x += stride * kPerWord<T>) {
        const bool pair = i + 1 < k;
        int64_t j = 0;
        for (int64_t line = 0; line < width; line += kLine<T>) __builtin_prefetch(x + kAhead * stride + line);
        for (; j < full_columns; j += kLanes) store(panel + j, gather_words(x + j, stride, pair, Full{}));
        for (; j < width; j += kLanes) store(panel + j, gather_words(x + j, stride, pair, first_lanes(columns - j)));
    }
    for (int64_t rest = words_of<T>(k) - ceil_div(k, kPerWord<T>); rest > 0; --rest, panel += width)
        std::fill_n(panel, width, 0.0f);
}

/// Words w … w + kLanes - 1 of kLanes rows, transposed: block[i] has word w + i of all of them. Rows ≥ `rows` are 0.
template <typename T>
[[gnu::always_inline]] inline void load_transposed(const T* x, int64_t stride, int64_t rows, int64_t k, int64_t w,
                                                   f32v (&block)[kLanes]) {
    const int64_t first = w * kPerWord<T>;
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) block[i] = i < rows ? load_words(x + i * stride + first, k - first) : f32v{};
    transpose(block);
}

/// The same panel from x whose rows are the panel's columns: panel[word][width] = x[j * stride + k].
template <typename T>
void pack_panel_transposed(const T* x, int64_t stride, int64_t k, int64_t columns, int64_t width, float* panel) {
    const int64_t words = words_of<T>(k);
    for (int64_t j = 0; j < width; j += kLanes)
        for (int64_t w = 0; w < words; w += kLanes) {
            f32v block[kLanes];
            load_transposed(x + j * stride, stride, columns - j, k, w, block);
            for (int64_t i = 0; i < std::min<int64_t>(kLanes, words - w); ++i)
                store(panel + (w + i) * width + j, block[i]);
        }
}

// ----------------------------------------------------------------------------------------------------------------
// tiles
/// One word of kLanes rows into the two tiles that hold them; the second exists only if `both`.
template <typename T>
[[gnu::always_inline]] inline void put_in_tiles(float* first, int64_t words, int64_t w, f32v v, bool both) {
    static_assert(2 * kTileRows<T> == kLanes);
    struct Halves {
        f32half low, high;
    };
    const auto [low, high] = std::bit_cast<Halves>(v);
    std::memcpy(first + w * kTileRows<T>, &low, sizeof low);
    if (both) std::memcpy(first + (words + w) * kTileRows<T>, &high, sizeof high);
}

/// Packs rows of a, x[i * stride + k], for TileA::columns: tiles of kTileRows rows, tile t at panel + t * words *
/// kTileRows, [word][kTileRows].
template <typename T>
void pack_columns(const T* x, int64_t stride, int64_t rows, int64_t k, float* panel) {
    const int64_t words = words_of<T>(k);
    for (int64_t i = 0; i < rows; i += kLanes)
        for (int64_t w = 0; w < words; w += kLanes) {
            f32v block[kLanes];
            load_transposed(x + i * stride, stride, rows - i, k, w, block);
            for (int64_t r = 0; r < std::min<int64_t>(kLanes, words - w); ++r)
                put_in_tiles<T>(panel + i * words, words, w + r, block[r], i + kTileRows<T> < rows);
        }
}

/// The same tiles from the transpose, x[k * stride + i]. Takes a few rows of x at a time: down a column every load
/// would be on another page, and along a row every store in another tile, all in the same cache set.
template <typename T>
void pack_columns_transposed(const T* x, int64_t stride, int64_t rows, int64_t k, float* panel) {
    constexpr int64_t kWords = 8;
    const int64_t words = words_of<T>(k);
    for (int64_t first = 0; first < words; first += kWords)
        for (int64_t i = 0; i < rows; i += kLanes)
            for (int64_t w = first; w < std::min(first + kWords, words); ++w) {
                const T* from = x + w * kPerWord<T> * stride + i;
                const bool pair = w * kPerWord<T> + 1 < k;
                __builtin_prefetch(from + kAhead * stride);
                const f32v v = rows - i >= kLanes ? gather_words(from, stride, pair, Full{})
                                                  : gather_words(from, stride, pair, first_lanes(rows - i));
                put_in_tiles<T>(panel + i * words, words, w, v, i + kTileRows<T> < rows);
            }
}

/// The place in packed blocks of a row's words from w on, which begin a step.
template <typename T>
constexpr int64_t place_in_blocks(int64_t row, int64_t w, int64_t words) {
    return row / kTileRows<T> * kTileRows<T> * words + w * kTileRows<T> + row % kTileRows<T> * kStepWords<T>;
}

/// Packs rows of a, x[i * stride + k], for TileA::blocks. Rows of the last tile beyond `rows` become 0.
template <typename T>
void pack_blocks(const T* x, int64_t stride, int64_t rows, int64_t k, float* panel) {
    static_assert(kStepWords<T> == kLanes);
    const int64_t words = words_of<T>(k);
    for (int64_t i = 0; i < round_up(rows, kTileRows<T>); ++i)
        for (int64_t w = 0; w < words; w += kLanes)
            store(panel + place_in_blocks<T>(i, w, words),
                  i < rows ? load_words(x + i * stride + w * kPerWord<T>, k - w * kPerWord<T>) : f32v{});
}

/// The same blocks from the transpose, x[k * stride + i].
template <typename T>
void pack_blocks_transposed(const T* x, int64_t stride, int64_t rows, int64_t k, float* panel) {
    const int64_t words = words_of<T>(k);
    for (int64_t w = 0; w < words; w += kLanes)
        for (int64_t i = 0; i < round_up(rows, kTileRows<T>); i += kLanes) {
            f32v block[kLanes];
            const Part columns = first_lanes(rows - i);
            for (int64_t r = 0; r < kLanes; ++r) {
                const int64_t first = (w + r) * kPerWord<T>;
                block[r] = first < k ? gather_words(x + first * stride + i, stride, first + 1 < k, columns) : f32v{};
            }
            transpose(block);
            for (int64_t r = 0; r < kLanes; ++r) store(panel + place_in_blocks<T>(i + r, w, words), block[r]);
        }
}

}  // namespace dropforge::kernels::on_cpu
