// Sizes of operations' scratch in the memory plan. They are the same for every backend, so that plans are the same too.
#include <omp.h>

#include <algorithm>

#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/scratch.h"

namespace dropforge::kernels {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

}  // namespace

int64_t embedding_backward_scratch_bytes(int64_t rows, int64_t columns) {
    // Gradients before LayerNorm; partial sums, no fewer than the CPU's row_blocks; on a GPU, each row twice as an id
    // and its number.
    constexpr int64_t kSorted = 2 * 2 * static_cast<int64_t>(sizeof(int32_t));
    return (rows * columns + device_row_blocks(rows) * 2 * columns) * kFloat + rows * kSorted;
}

int64_t layernorm_backward_scratch_bytes(int64_t rows, int64_t columns) {
    return device_row_blocks(rows) * 3 * columns * kFloat;  // no less than row_blocks, the CPU's
}

int64_t column_sum_scratch_bytes(int64_t rows, int64_t columns) {
    return row_blocks(rows) * columns * kFloat;  // no less than device_column_blocks
}

int64_t attention_scratch_bytes(int64_t, int64_t, int64_t head_size, int64_t rows_q, int64_t rows_kv) {
    return omp_get_max_threads() * attention_thread_bytes(head_size, rows_q, rows_kv);
}

int64_t global_norm_scratch_bytes(std::span<const Segment> segments) {
    int64_t blocks = 0;
    for (const Segment& s : segments) blocks += segment_blocks(s.size);
    return blocks * static_cast<int64_t>(sizeof(double));
}

int64_t lamb_scratch_bytes(std::span<const Segment> segments) { return 2 * global_norm_scratch_bytes(segments); }

}  // namespace dropforge::kernels
