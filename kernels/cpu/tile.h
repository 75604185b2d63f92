// Multiplication of packed operands tile by tile, shared by GEMM and attention.
#pragma once

#include <algorithm>

#include "kernels/cpu/pack.h"

namespace dropforge::kernels::on_cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/// The division of columns into panels of 3 vectors; the last 4 become 2 + 2, as a panel of 1 would leave half of the
/// FMA units waiting for loads.
struct Panels {
    int64_t vectors, count;

    explicit Panels(int64_t columns) : vectors(ceil_div(columns, kLanes)), count(ceil_div(vectors, kTileVectors)) {}
    int64_t begin(int64_t p) const {
        return kLanes * std::max<int64_t>(std::min(kTileVectors * p, vectors - 2 * (count - p)), 0);
    }
    int64_t end(int64_t p) const { return p + 1 == count ? kLanes * vectors : begin(p + 1); }
};

/// Packs all panels of b one after another: the panel of column c begins at packed + c * words. x as for pack_panel, or
/// for pack_panel_transposed.
template <typename T>
void pack_panels(const T* x, int64_t stride, bool transposed, int64_t k, int64_t columns, float* packed) {
    const Panels panels(columns);
    for (int64_t p = 0; p < panels.count; ++p) {
        const int64_t c = panels.begin(p), width = panels.end(p) - c;
        float* panel = packed + c * words_of<T>(k);
        if (transposed)
            pack_panel_transposed(x + c * stride, stride, k, columns - c, width, panel);
        else
            pack_panel(x + c, stride, k, columns - c, width, panel);
    }
}

/// Operand a: tiles of kTileRows rows `step` bytes apart, read in place; from tile `direct` on, packed tiles.
struct TilesOfA {
    TileA layout;
    const char* first;
    int64_t step, stride;  // stride: as for Tile::multiply
    int64_t direct;
    const float* packed;
};

/// x[i * ld + k], or x[k * ld + i] if transposed. Rows whose words are contiguous are read in place; all others, and a
/// last partial tile, are packed into `space`: rows, rounded up to a multiple of kTileRows, by words.
template <typename T>
TilesOfA tiles_of_matrix(const T* x, int64_t ld, bool transposed, int64_t rows, int64_t k, float* space) {
    const bool in_place = kInPlace<T> && !transposed && k % kPerWord<T> == 0;
    const int64_t direct = in_place ? rows / kTileRows : 0, packed = direct * kTileRows;
    if (transposed)
        pack_tiles_transposed(x, ld, rows, k, space);
    else if (packed < rows)
        pack_tiles(x + packed * ld, ld, rows - packed, k, space);
    const auto stride = ld * static_cast<int64_t>(sizeof(T));
    return {TileA::rows, reinterpret_cast<const char*>(x), kTileRows * stride, stride, direct, space};
}

/// The epilogue of a tile of sums.
struct Finish {
    void* to;
    DType to_type;
    int64_t ld_to;
    const float* row_scale = nullptr;  // [rows] factors
    const float* bias = nullptr;       // [columns] added
    const void* previous = nullptr;    // [rows, columns] added
    DType previous_type = DType::f32;
    int64_t ld_previous = 0;
};

/// Calls f(vector of sums, row, column of its first lane, Full or Part) for the part of a tile that lies in c.
template <typename T, int N, typename F>
[[gnu::always_inline]] inline void for_vectors(Tile<T, N>& tile, int64_t row, int64_t column, int64_t rows,
                                               int64_t columns, F&& f) {
    const bool full = columns >= N * kLanes;
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
        if (i >= rows) break;
#pragma GCC unroll 3
        for (int j = 0; j < N; ++j) {
            if (full)
                f(tile.c[i][j], row + i, column + kLanes * j, Full{});
            else
                f(tile.c[i][j], row + i, column + kLanes * j, first_lanes(columns - kLanes * j));
        }
    }
}

/// Applies the epilogue in a pass over the registers for each of its operations: branches for every vector would take
/// longer than the operations.
template <typename T, int N>
[[gnu::always_inline]] inline void finish(Tile<T, N>& tile, const Finish& f, int64_t row, int64_t column, int64_t rows,
                                          int64_t columns) {
    const auto pass = [&](auto&& g) __attribute__((always_inline)) {
        for_vectors(tile, row, column, rows, columns, g);
    };
    const auto add = [&]<typename S>(const S* from) __attribute__((always_inline)) {
        pass([&](f32v & v, int64_t r, int64_t c, auto count)
                 __attribute__((always_inline)) { v += load(from + r * f.ld_previous + c, count); });
    };
    const auto put = [&]<typename S>(S * to) __attribute__((always_inline)) {
        pass([&](f32v & v, int64_t r, int64_t c, auto count)
                 __attribute__((always_inline)) { store(to + r * f.ld_to + c, v, count); });
    };
    if (f.bias) {
#pragma GCC unroll 3
        for (int j = 0; j < N; ++j) {
            const f32v bias = load(f.bias + column + kLanes * j, first_lanes(columns - kLanes * j));
#pragma GCC unroll 8
            for (auto& c : tile.c) c[j] += bias;
        }
    }
    if (f.row_scale)
        pass([&](f32v & v, int64_t r, int64_t, auto) __attribute__((always_inline)) { v *= f.row_scale[r]; });
    if (f.previous) {
        if (f.previous_type == DType::f32)
            add(static_cast<const float*>(f.previous));
        else
            add(static_cast<const bf16*>(f.previous));
    }
    if (f.to_type == DType::f32)
        put(static_cast<float*>(f.to));
    else
        put(static_cast<bf16*>(f.to));
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
    if (layout == TileA::rows)
        return vectors == 3   ? multiply_tile<T, 3, TileA::rows>
               : vectors == 2 ? multiply_tile<T, 2, TileA::rows>
                              : multiply_tile<T, 1, TileA::rows>;
    return vectors == 3   ? multiply_tile<T, 3, TileA::columns>
           : vectors == 2 ? multiply_tile<T, 2, TileA::columns>
                          : multiply_tile<T, 1, TileA::columns>;
}

struct RowRange {
    int64_t first, count;  // rows of c; a begins at the first
};
struct PanelRange {
    Panels panels;
    int64_t begin, end;
};

/// Computes rows of c by panels: c = a · b over `words` of k with epilogue f. c has `columns` columns; b's panel of
/// column c begins at b + c * words.
template <typename T>
void multiply(const TilesOfA& a, RowRange rows, const float* b, const PanelRange& range, int64_t columns, int64_t words,
              const Finish& f) {
    for (int64_t p = range.begin; p < range.end; ++p) {
        const int64_t column = range.panels.begin(p), vectors = (range.panels.end(p) - column) / kLanes;
        const float* panel = b + column * words;
        const MultiplyTile<T> direct = multiply_tile_of<T>(vectors, a.layout),
                              packed = multiply_tile_of<T>(vectors, TileA::columns);
        for (int64_t i = 0; i < rows.count; i += kTileRows) {
            const int64_t tile = i / kTileRows, valid = std::min<int64_t>(rows.count - i, kTileRows);
            if (tile < a.direct)
                direct(words, a.first + tile * a.step, a.stride, panel, f, rows.first + i, column, valid,
                       columns - column);
            else
                packed(words, a.packed + (tile - a.direct) * kTileRows * words, kTileRows * 4, panel, f, rows.first + i,
                       column, valid, columns - column);
        }
    }
}

}  // namespace dropforge::kernels::on_cpu
