#include "kernels/cuda/attention/attention_library.h"

#include <fmt/format.h>

namespace dropforge::kernels::on_cuda {

std::string text(const AttentionShape& s) {
    return fmt::format("{} batch {} heads {} of {} rows {} x {}{}{}", name_of(s.dtype), s.batch, s.heads, s.head_size,
                       s.rows_q, s.rows_kv, s.dropout > 0 ? fmt::format(" dropout {:.3g}", s.dropout) : "",
                       s.aligned ? "" : " not aligned");
}

}  // namespace dropforge::kernels::on_cuda
