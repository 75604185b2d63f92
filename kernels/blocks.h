// The blocks of long sums: terms are added inside blocks whose borders depend on the size alone, then the blocks in
// order. So the number of threads changes which thread sums a block, but not the order of additions.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dropforge::kernels {

constexpr int64_t kMaxDeviceRowBlocks = 3 * 132;  // an H100 has 132 SMs, an A100 108
constexpr int64_t kSegmentBlock = 1 << 15;        // elements

/// Number of blocks of a sum over rows on a CPU, where a block is a thread's task: up to 64 blocks of 16 rows or more,
/// then up to 256 of 32 or more. So few rows still keep many threads busy, 64 threads have two blocks each from 4096
/// rows on, and adding up the blocks takes a few percent of the time.
constexpr int64_t row_blocks(int64_t rows) {
    return std::clamp<int64_t>(rows / 16, 1, std::clamp<int64_t>(rows / 32, 64, 256));
}
/// Number of blocks of column sums on a GPU, which are divided by columns too.
constexpr int64_t device_column_blocks(int64_t rows) { return std::clamp<int64_t>(rows / 16, 1, 64); }
/// Number of blocks of the backward of LayerNorm and of the embeddings on a GPU, where a block has complete rows: at
/// most three an SM.
constexpr int64_t device_row_blocks(int64_t rows) { return std::clamp<int64_t>(rows / 16, 1, kMaxDeviceRowBlocks); }
/// First row of block i of n.
constexpr int64_t block_begin(int64_t rows, int64_t i, int64_t n) { return rows * i / n; }
/// Number of blocks of a sum over a segment of the parameter arena.
constexpr int64_t segment_blocks(int64_t size) { return (size + kSegmentBlock - 1) / kSegmentBlock; }

}  // namespace dropforge::kernels
