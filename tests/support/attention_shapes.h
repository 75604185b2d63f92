// The attentions of the presets: what a whole step, one that drops tokens, and an evaluation do.
#pragma once

#include <vector>

#include "kernels/kernels.h"

namespace dropforge::test {

struct AttentionRows {
    int64_t queries, keys;
};
/// S = 128 and S = 512: whole layers, the layer that drops tokens, layers on the kept ones, and the last layer, which
/// makes the masked tokens alone.
constexpr AttentionRows kAttentionRows[] = {{128, 128}, {64, 128},  {64, 64},   {20, 128},
                                            {512, 512}, {256, 512}, {256, 256}, {77, 512}};
/// heads, head size: tiny and mini; base; large.
struct AttentionHeads {
    int64_t heads, size;
};
constexpr AttentionHeads kAttentionHeads[] = {{2, 64}, {12, 64}, {16, 64}};

/// Attention as the engine lays it out, without pointers: q, k and v in one tensor where all rows have queries, else q
/// in its own.
inline kernels::AttentionForward attention_of_preset(int64_t batch, AttentionHeads heads, AttentionRows rows,
                                                     float dropout) {
    const int64_t columns = heads.heads * heads.size;
    const bool all_rows = rows.queries == rows.keys;
    kernels::AttentionForward a{};
    a.batch = batch;
    a.heads = heads.heads;
    a.head_size = heads.size;
    a.rows_q = rows.queries;
    a.rows_kv = rows.keys;
    a.stride_q = all_rows ? 3 * columns : columns;
    a.stride_kv = all_rows ? 3 * columns : 2 * columns;
    a.stride_out = columns;
    a.scale = 0.125f;
    a.dropout.probability = dropout;
    a.dtype = DType::bf16;
    return a;
}

}  // namespace dropforge::test
