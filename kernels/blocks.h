// How sums are cut: first inside blocks whose borders depend on the size alone, then over the blocks in order. The
// number of threads changes who sums a block, never what is added to what.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dropforge::kernels {

constexpr int64_t kMaxDeviceRowBlocks = 3 * 132;  // an H100 has 132 multiprocessors, an A100 108
constexpr int64_t kSegmentBlock = 1 << 15;        // elements

/// Blocks of a sum over rows, one a task of a CPU's threads: of 16 rows or more as far as 64 of them, of 32 or more as
/// far as 256. So few rows still keep many threads busy, 64 threads have two each from 4096 rows on, and adding the
/// blocks up costs a few percent of making them.
constexpr int64_t row_blocks(int64_t rows) {
    return std::clamp<int64_t>(rows / 16, 1, std::clamp<int64_t>(rows / 32, 64, 256));
}
/// Of column sums on a GPU, which shares out columns too.
constexpr int64_t device_column_blocks(int64_t rows) { return std::clamp<int64_t>(rows / 16, 1, 64); }
/// Of the backward of LayerNorm and of the embeddings on a GPU, where a block needs whole rows: three blocks a
/// multiprocessor.
constexpr int64_t device_row_blocks(int64_t rows) { return std::clamp<int64_t>(rows / 16, 1, kMaxDeviceRowBlocks); }
/// First row of block i of n.
constexpr int64_t block_begin(int64_t rows, int64_t i, int64_t n) { return rows * i / n; }
/// Blocks of a sum over a segment of the parameter arena.
constexpr int64_t segment_blocks(int64_t size) { return (size + kSegmentBlock - 1) / kSegmentBlock; }

}  // namespace dropforge::kernels
