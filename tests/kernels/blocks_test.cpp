// How sums over rows are cut: kernels/blocks.h.
#include "kernels/blocks.h"

#include <doctest/doctest.h>

#include "kernels/kernels.h"

using namespace dropforge::kernels;

TEST_CASE("row blocks: enough for many threads, none too small, all rows once") {
    for (int64_t rows = 1; rows <= 20000; ++rows) {
        const int64_t blocks = row_blocks(rows);
        int64_t least = rows, end = 0;
        for (int64_t i = 0; i < blocks; ++i) {
            CHECK(block_begin(rows, i, blocks) == end);
            end = block_begin(rows, i + 1, blocks);
            least = std::min(least, end - block_begin(rows, i, blocks));
        }
        const bool as_promised =
            end == rows && blocks <= 256 && least >= std::min<int64_t>(rows, blocks <= 64 ? 16 : 32);
        REQUIRE_MESSAGE(as_promised, rows);
    }
    CHECK(row_blocks(31) == 1);
    CHECK(row_blocks(1024) == 64);
    CHECK(row_blocks(2048) == 64);
    CHECK(row_blocks(4096) == 128);  // two for each of 64 threads
    CHECK(row_blocks(8192) == 256);
    CHECK(row_blocks(1 << 20) == 256);
}

TEST_CASE("the scratch of sums holds the blocks of the CPU and of a GPU") {
    constexpr int64_t kColumns = 8, kFloat = 4;
    for (int64_t rows = 1; rows <= 20000; ++rows) {
        const int64_t cpu = row_blocks(rows), gpu = device_row_blocks(rows);
        const bool enough =
            column_sum_scratch_bytes(rows, kColumns) >= std::max(cpu, device_column_blocks(rows)) * kColumns * kFloat &&
            layernorm_backward_scratch_bytes(rows, kColumns) >= std::max(cpu, gpu) * 3 * kColumns * kFloat &&
            embedding_backward_scratch_bytes(rows, kColumns) >= (rows + std::max(cpu, gpu) * 2) * kColumns * kFloat;
        REQUIRE_MESSAGE(enough, rows);
    }
}
