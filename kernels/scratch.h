// The size of attention's scratch on a CPU and of its pieces, for the function that reserves it and the kernels that
// use it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dropforge::kernels {

constexpr int64_t kForwardQueries = 32;

/// Queries that attention's backward takes at a time: probabilities and their gradients [queries, keys] stay in L2.
constexpr int64_t backward_queries(int64_t rows_q, int64_t rows_kv) {
    return std::min((rows_q + 31) / 32 * 32,
                    std::clamp<int64_t>(32768 / ((rows_kv + 31) / 32 * 32) / 32 * 32, 32, 128));
}

/// Scratch of one thread; sizes are rounded up to whole steps of every level (kernels/cpu/microkernel.h).
constexpr int64_t attention_thread_bytes(int64_t head_size, int64_t rows_q, int64_t rows_kv) {
    const int64_t depth = (head_size + 31) / 32 * 32, keys = (rows_kv + 31) / 32 * 32;
    const int64_t queries = backward_queries(rows_q, rows_kv), masks = 2 * (keys / 64 + 1);  // in words
    const int64_t forward = 2 * keys * depth + kForwardQueries * (2 * keys + depth + 1) + masks;
    const int64_t backward = 5 * keys * depth + queries * (2 * keys + 4 * depth + masks + 2);
    constexpr int64_t kAlignment = 16 * 64;  // of at most 16 pieces
    return ((std::max(forward, backward) * 4 + kAlignment) + 63) / 64 * 64;
}

}  // namespace dropforge::kernels
