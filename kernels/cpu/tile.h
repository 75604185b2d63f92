// Multiplication of packed operands tile by tile, shared by GEMM and attention.
#pragma once

#include <algorithm>

#include "kernels/cpu/finish.h"
#include "kernels/cpu/pack.h"

namespace dropforge::kernels::on_cpu {

/// The division of columns into panels of kTileVectors vectors. Of panels of 3, the last 4 vectors become 2 + 2, as a
/// panel of 1 would leave half of the FMA units waiting for loads.
template <typename T>
struct Panels {
    int64_t vectors, count;

    explicit Panels(int64_t columns) : vectors(ceil_div(columns, kLanes)), count(ceil_div(vectors, kTileVectors<T>)) {}
    int64_t begin(int64_t p) const {
        return kLanes * std::max<int64_t>(std::min(kTileVectors<T> * p, vectors - 2 * (count - p)), 0);
    }
    int64_t end(int64_t p) const { return p + 1 == count ? kLanes * vectors : begin(p + 1); }
};

/// Packs all panels of b one after another: the panel of column c begins at packed + c * words. x as for pack_panel, or
/// for pack_panel_transposed.
template <typename T>
void pack_panels(const T* x, int64_t stride, bool transposed, int64_t k, int64_t columns, float* packed) {
    const Panels<T> panels(columns);
    for (int64_t p = 0; p < panels.count; ++p) {
        const int64_t c = panels.begin(p), width = panels.end(p) - c;
        float* panel = packed + c * words_of<T>(k);
        if (transposed)
            pack_panel_transposed(x + c * stride, stride, k, columns - c, width, panel);
        else
            pack_panel(x + c, stride, k, columns - c, width, panel);
    }
}

/// A tile of a, as Tile::multiply takes it.
struct TileOfA {
    TileA layout;
    const char* first;
    int64_t stride;
};

/// Operand a: tiles of kTileRows rows `step` bytes apart, read in place; from tile `direct` on, packed tiles.
struct TilesOfA {
    TileA layout;
    const char* first;
    int64_t step, stride;
    int64_t direct;
    const float* packed;

    /// Tile i, whose rows have so many words.
    template <typename T>
    TileOfA tile(int64_t i, int64_t words) const {
        if (i < direct) return {layout, first + i * step, stride};
        return {kPackedTile<T>, reinterpret_cast<const char*>(packed + (i - direct) * kTileRows<T> * words),
                kPackedStride<T>};
    }
};

/// x[i * ld + k], or x[k * ld + i] if transposed. Rows whose words are contiguous are read in place unless `copy`; all
/// others, and a last partial tile, are packed into `space`: rows, rounded up to a multiple of kTileRows, by words.
template <typename T>
TilesOfA tiles_of_matrix(const T* x, int64_t ld, bool transposed, int64_t rows, int64_t k, float* space,
                         bool copy = false) {
    const bool in_place = kInPlace<T> && !copy && !transposed && k % kStep<T> == 0;
    const int64_t direct = in_place ? rows / kTileRows<T> : 0, packed = direct * kTileRows<T>;
    if (transposed) {
        if constexpr (kPackedTile<T> == TileA::blocks)
            pack_blocks_transposed(x, ld, rows, k, space);
        else
            pack_columns_transposed(x, ld, rows, k, space);
    } else if (packed < rows) {
        if constexpr (kPackedTile<T> == TileA::blocks)
            pack_blocks(x + packed * ld, ld, rows - packed, k, space);
        else
            pack_columns(x + packed * ld, ld, rows - packed, k, space);
    }
    const auto stride = ld * static_cast<int64_t>(sizeof(T));
    return {TileA::rows, reinterpret_cast<const char*>(x), kTileRows<T> * stride, stride, direct, space};
}

template <typename T, int N, TileA layout>
[[gnu::noinline]] void multiply_tile(int64_t words, const void* a, int64_t stride, const float* b, const Finish& f,
                                     int64_t row, int64_t column, int64_t rows, int64_t columns) {
    Tile<T, N> t;
    t.template multiply<layout>(words, a, stride, b);
    finish(t, f, row, column, rows, columns);
}

template <typename T>
using MultiplyTile = void (*)(int64_t, const void*, int64_t, const float*, const Finish&, int64_t, int64_t, int64_t,
                              int64_t);

template <typename T>
MultiplyTile<T> multiply_tile_of(int64_t vectors, TileA layout) {
    if constexpr (kTileVectors<T> == 2)
        return layout == TileA::rows
                   ? vectors == 2 ? multiply_tile<T, 2, TileA::rows> : multiply_tile<T, 1, TileA::rows>
               : vectors == 2 ? multiply_tile<T, 2, TileA::blocks>
                              : multiply_tile<T, 1, TileA::blocks>;
    else if (layout == TileA::rows)
        return vectors == 3   ? multiply_tile<T, 3, TileA::rows>
               : vectors == 2 ? multiply_tile<T, 2, TileA::rows>
                              : multiply_tile<T, 1, TileA::rows>;
    else
        return vectors == 3   ? multiply_tile<T, 3, TileA::columns>
               : vectors == 2 ? multiply_tile<T, 2, TileA::columns>
                              : multiply_tile<T, 1, TileA::columns>;
}

struct RowRange {
    int64_t first, count;  // rows of c; a begins at the first
};
template <typename T>
struct PanelRange {
    Panels<T> panels;
    int64_t begin, end;
};

/// Computes rows of c by one panel of N vectors from `column` on, where tile registers multiply. L1 holds kPieceWords
/// of the panel while the rows pass by; the sums of longer panels wait in memory.
template <typename T, int N>
void multiply_panel(const TilesOfA& a, RowRange rows, const float* panel, int64_t column, int64_t columns,
                    int64_t words, const Finish& f) {
    constexpr int64_t kPieceWords = 128, kTiles = 8;
    Tile<T, N> tiles[kTiles];
    for (int64_t first = 0; first < rows.count; first += kTiles * kTileRows<T>) {
        const int64_t end = std::min(rows.count, first + kTiles * kTileRows<T>);
        for (int64_t word = 0; word < words; word += kPieceWords)
            for (int64_t i = first; i < end; i += kTileRows<T>) {
                Tile<T, N>& sums = tiles[words > kPieceWords ? (i - first) / kTileRows<T> : 0];  // one stays in L1
                const TileOfA tile = a.tile<T>(i / kTileRows<T>, words);
                const int64_t piece = std::min(kPieceWords, words - word);
                const float* from = panel + word * N * kLanes;
                if (tile.layout == TileA::rows)
                    sums.template multiply<TileA::rows>(piece, tile.first + 4 * word, tile.stride, from, word > 0);
                else
                    sums.template multiply<TileA::blocks>(piece, tile.first + 4 * word * kTileRows<T>, tile.stride,
                                                          from, word > 0);
                if (word + kPieceWords >= words)
                    finish(sums, f, rows.first + i, column, std::min<int64_t>(rows.count - i, kTileRows<T>),
                           columns - column);
            }
    }
}

/// Computes rows of c by panels: c = a · b over `words` of k with epilogue f. c has `columns` columns; b's panel of
/// column c begins at b + c * words.
template <typename T>
void multiply(const TilesOfA& a, RowRange rows, const float* b, const PanelRange<T>& range, int64_t columns,
              int64_t words, const Finish& f) {
    for (int64_t p = range.begin; p < range.end; ++p) {
        const int64_t column = range.panels.begin(p), vectors = (range.panels.end(p) - column) / kLanes;
        const float* panel = b + column * words;
        if constexpr (kStepWords < T >> 1) {
            (vectors == 2 ? multiply_panel<T, 2> : multiply_panel<T, 1>)(a, rows, panel, column, columns, words, f);
            continue;
        }
        for (int64_t i = 0; i < rows.count; i += kTileRows<T>) {
            const TileOfA tile = a.tile<T>(i / kTileRows<T>, words);
            multiply_tile_of<T>(vectors, tile.layout)(words, tile.first, tile.stride, panel, f, rows.first + i, column,
                                                      std::min<int64_t>(rows.count - i, kTileRows<T>),
                                                      columns - column);
        }
    }
}

}  // namespace dropforge::kernels::on_cpu
