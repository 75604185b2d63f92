// Attention of one head in double, for a given dropout mask: what a library's kernels are held to, since only they know
// their mask. kernels/reference draws its own.
#pragma once

#include <cstdint>
#include <vector>

namespace dropforge::kernels::on_cuda {

struct AttentionHead {
    int64_t rows_q, rows_kv, head_size, keys;  // keys: that are seen
    double scale, dropout;
    std::vector<double> q, k, v, dout;  // [rows, head_size]
    std::vector<bool> kept;             // [rows_q, rows_kv]
};
struct AttentionHeadResult {
    std::vector<double> out, dq, dk, dv;
};
AttentionHeadResult attention_of_head(const AttentionHead& h);

}  // namespace dropforge::kernels::on_cuda
