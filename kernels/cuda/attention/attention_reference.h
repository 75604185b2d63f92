// Attention of one head in double for a given dropout mask, to check libraries' kernels, whose masks are their own.
// (kernels/reference draws the mask itself.)
#pragma once

#include <cstdint>
#include <vector>

namespace dropforge::kernels::on_cuda {

struct AttentionHead {
    int64_t rows_q, rows_kv, head_size, keys;  // keys: the number attended to
    double scale, dropout;
    std::vector<double> q, k, v, dout;  // [rows, head_size]
    std::vector<bool> kept;             // [rows_q, rows_kv]
};
struct AttentionHeadResult {
    std::vector<double> out, dq, dk, dv;
};
AttentionHeadResult attention_of_head(const AttentionHead& h);

}  // namespace dropforge::kernels::on_cuda
