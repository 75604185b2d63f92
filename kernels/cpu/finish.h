// The epilogue of multiplication: what is done to a tile of sums on its way to memory.
#pragma once

#include "kernels/cpu/microkernel_amx.h"

namespace dropforge::kernels::on_cpu {

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
    bool stream = false;  // past the caches; rows of `to` are whole cache lines then
};

/// Calls f(vector of sums, row, column of its first lane, Full or Part) for the part of a tile that lies in c.
template <typename T, int N, typename F>
[[gnu::always_inline]] inline void for_vectors(Tile<T, N>& tile, int64_t row, int64_t column, int64_t rows,
                                               int64_t columns, F&& f) {
    const bool full = columns >= N * kLanes;
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows<T>; ++i) {
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
    const auto put_past_caches = [&]<typename S>(S * to) __attribute__((always_inline)) {
        pass([&](f32v & v, int64_t r, int64_t c, auto count)
                 __attribute__((always_inline)) { stream(to + r * f.ld_to + c, v, count); });
    };
    const auto put_as = [&]<typename S>(S * to) __attribute__((always_inline)) {
        if (f.stream)
            put_past_caches(to);
        else
            put(to);
    };
    if (f.to_type == DType::f32)
        put_as(static_cast<float*>(f.to));
    else
        put_as(static_cast<bf16*>(f.to));
}

#if DROPFORGE_AMX
/// Rows of a tile in memory: each is read once.
template <int N, typename S>
[[gnu::always_inline]] inline void finish_rows(const Tile<bf16, N>& tile, const Finish f, int64_t row, int64_t column,
                                               int64_t rows, int64_t columns, S* to) {
    f32v bias[N]{};
    for (int j = 0; f.bias && j < N; ++j)
        bias[j] = load(f.bias + column + kLanes * j, first_lanes(columns - kLanes * j));
    const auto finish_all = [&](auto count_of) __attribute__((always_inline)) {
        for (int64_t r = row, i = 0; i < rows; ++i, ++r)
#pragma GCC unroll 2
            for (int j = 0; j < N; ++j) {
                const int64_t c = column + kLanes * j;
                const auto count = count_of(j);
                f32v v = tile.c[i][j] + bias[j];
                if (f.row_scale) v *= f.row_scale[r];
                if (f.previous && f.previous_type == DType::f32)
                    v += load(static_cast<const float*>(f.previous) + r * f.ld_previous + c, count);
                else if (f.previous)
                    v += load(static_cast<const bf16*>(f.previous) + r * f.ld_previous + c, count);
                if (f.stream)
                    stream(to + r * f.ld_to + c, v, count);
                else
                    store(to + r * f.ld_to + c, v, count);
            }
    };
    if (columns >= N * kLanes)
        finish_all([](int) { return Full{}; });
    else
        finish_all([&](int j) { return first_lanes(columns - kLanes * j); });
}

template <int N>
[[gnu::always_inline]] inline void finish(const Tile<bf16, N>& tile, const Finish& f, int64_t row, int64_t column,
                                          int64_t rows, int64_t columns) {
    if (f.to_type == DType::f32)
        finish_rows(tile, f, row, column, rows, columns, static_cast<float*>(f.to));
    else
        finish_rows(tile, f, row, column, rows, columns, static_cast<bf16*>(f.to));
}
#endif

}  // namespace dropforge::kernels::on_cpu
