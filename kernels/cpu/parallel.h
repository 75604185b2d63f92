// The division of work among OpenMP threads, and sums in two stages (kernels/blocks.h) that do not depend on the number
// of threads.
#pragma once

#include <omp.h>

#include "kernels/blocks.h"
#include "kernels/cpu/simd.h"

namespace dropforge::kernels::on_cpu {

/// Elements below which waking the other threads costs more than they save.
inline constexpr int64_t kWorthThreads = 1 << 14;

/// Calls f() on every thread, or only on this one unless there is `enough` to do. For one thread it is a plain call, as
/// OpenMP would allocate a team each time, even with an `if` clause.
template <typename F>
inline void on_threads(bool enough, F&& f) {
    if (!enough || omp_get_max_threads() == 1) return f();
#pragma omp parallel
    f();
}

/// Calls f(i) for i in 0 … n-1, inside on_threads; each thread takes the next i when it has finished one. Threads do
/// not wait for each other at the end.
template <typename F>
inline void share_out(int64_t n, F&& f) {
    if (omp_get_num_threads() == 1) {  // outside a team OpenMP would allocate the loop's state on the heap
        for (int64_t i = 0; i < n; ++i) f(i);
        return;
    }
#pragma omp for schedule(dynamic) nowait
    for (int64_t i = 0; i < n; ++i) f(i);
}

/// Calls f(i) for i in 0 … n-1, an equal number on each thread; `elements` is the size of all the work. Not inside
/// on_threads.
template <typename F>
inline void parallel_for(int64_t n, int64_t elements, F&& f) {
    on_threads(n > 1 && elements >= kWorthThreads, [&] {
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < n; ++i) f(i);
    });
}

/// Calls f(begin, size) for consecutive pieces of 0 … n-1.
template <typename F>
inline void parallel_pieces(int64_t n, F&& f) {
    constexpr int64_t kPiece = 1 << 13;
    parallel_for((n + kPiece - 1) / kPiece, n, [&](int64_t i) { f(i * kPiece, std::min(kPiece, n - i * kPiece)); });
}

/// Calls f(block, first row, end row) for the row_blocks of `rows`.
template <typename F>
inline void parallel_row_blocks(int64_t rows, int64_t columns, F&& f) {
    const int64_t blocks = row_blocks(rows);
    parallel_for(blocks, rows * columns,
                 [&](int64_t i) { f(i, block_begin(rows, i, blocks), block_begin(rows, i + 1, blocks)); });
}

template <typename Count>
inline void add_to(float* sum, f32v x, Count count) {
    store(sum, load(sum, count) + x, count);
}

/// sum[columns] (+)= partials[0] + … + partials[blocks-1], each `stride` floats after the one before.
inline void add_partials(const float* partials, int64_t blocks, int64_t stride, int64_t columns, float* sum,
                         bool accumulate) {
    constexpr int64_t kPiece = 64;  // four cache lines
    parallel_for((columns + kPiece - 1) / kPiece, blocks * columns, [&](int64_t piece) {
        const int64_t begin = piece * kPiece;
        for_columns(std::min(kPiece, columns - begin), [&](int64_t j, auto count) {
            f32v total = load(partials + begin + j, count);
            for (int64_t i = 1; i < blocks; ++i) total += load(partials + i * stride + begin + j, count);
            if (accumulate) total += load(sum + begin + j, count);
            store(sum + begin + j, total, count);
        });
    });
}

}  // namespace dropforge::kernels::on_cpu
