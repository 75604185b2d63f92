// Which attention serves which call.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/functions.h"

namespace dropforge::kernels::on_cuda {

namespace {

/// BERT has heads of 64; 32 and 128 come from the same templates.
template <typename Attention>
bool tensor_supports(const Attention& a, std::initializer_list<const void*> pointers) {
    const int64_t rows = a.stride_q | a.stride_kv | a.stride_out;  // all are multiples of 8 if this is
    return a.dtype == DType::bf16 && (a.head_size == 32 || a.head_size == 64 || a.head_size == 128) &&
           aligned(16, rows * 2, pointers);
}

}  // namespace

void attention_forward(const AttentionForward& a, Context& context) {
    if (a.batch * a.heads * a.rows_q == 0) return;
    tensor_supports(a, {a.q, a.k, a.v, a.out}) ? attention_forward_tensor(a, context)
                                               : attention_forward_plain(a, context);
}

void attention_backward(const AttentionBackward& a, Context& context) {
    if (a.batch * a.heads * a.rows_kv == 0) return;
    tensor_supports(a, {a.q, a.k, a.v, a.out, a.dout, a.dq, a.dk, a.dv}) ? attention_backward_tensor(a, context)
                                                                         : attention_backward_plain(a, context);
}

}  // namespace dropforge::kernels::on_cuda
