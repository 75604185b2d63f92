// How sums are cut: first inside blocks whose borders depend on the size alone, then over the blocks in order. The
// number of threads changes who sums a block, never what is added to what.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dropforge::kernels {

constexpr int64_t kMaxRowBlocks = 64;
constexpr int64_t kMaxDeviceRowBlocks = 3 * 132;  // an H100 has 132 multiprocessors, an A100 108
constexpr int64_t kSegmentBlock = 1 << 15;        // elements

/// Blocks of a sum over rows: at least 16 rows each, at most kMaxRowBlocks.
constexpr int64_t row_blocks(int64_t rows) { return std::clamp<int64_t>(rows / 16, 1, kMaxRowBlocks); }
/// Of the backward of LayerNorm and of the embeddings on a GPU, where a block needs whole rows: three blocks a
/// multiprocessor.
constexpr int64_t device_row_blocks(int64_t rows) { return std::clamp<int64_t>(rows / 16, 1, kMaxDeviceRowBlocks); }
/// First row of block i of n.
constexpr int64_t block_begin(int64_t rows, int64_t i, int64_t n) { return rows * i / n; }
/// Blocks of a sum over a segment of the parameter arena.
constexpr int64_t segment_blocks(int64_t size) { return (size + kSegmentBlock - 1) / kSegmentBlock; }

}  // namespace dropforge::kernels
