// The choice between our own attention kernels: tensor cores where shape and type allow it, else plain f32.
#include <algorithm>

#include "kernels/cuda/attention/attention.cuh"
#include "kernels/cuda/attention/functions.h"

namespace dropforge::kernels::on_cuda {

namespace {

/// BERT has heads of 64; 32 and 128 come from the same templates. Tensor cores take bf16 from compute capability 8.0
/// on.
template <typename Attention>
bool tensor_supports(const Attention& a, Context& context, std::initializer_list<const void*> pointers) {
    const int64_t rows = a.stride_q | a.stride_kv | a.stride_out;  // all are multiples of 8 if this is
    const bool ampere = static_cast<CudaContext&>(context).device().compute_capability >= 80;
    return (a.dtype == DType::fp16 || (a.dtype == DType::bf16 && ampere)) &&
           (a.head_size == 32 || a.head_size == 64 || a.head_size == 128) && aligned(16, rows * 2, pointers);
}

/// Sequences and heads are the grid's y and z; rows of all heads are counted in 32 bits.
template <typename Attention>
void check_sizes(const Attention& a) {
    constexpr int64_t kLimit = 0x7fffffff, kBlocks = 65535;
    if (a.batch > kBlocks) refuse_size("sequences", a.batch, kBlocks);
    if (a.heads > kBlocks) refuse_size("heads", a.heads, kBlocks);
    const int64_t rows = a.batch * a.heads * std::max(a.rows_q, a.rows_kv);
    if (rows > kLimit) refuse_size("rows of attention heads", rows, kLimit);
    const int64_t stride = std::max({a.stride_q, a.stride_kv, a.stride_out});
    if (stride > kLimit) refuse_size("elements between rows", stride, kLimit);
}

}  // namespace

void attention_forward(const AttentionForward& a, Context& context) {
    if (a.batch * a.heads * a.rows_q == 0) return;
    check_sizes(a);
    if (tensor_supports(a, context, {a.q, a.k, a.v, a.out}))
        attention::forward_tensor(a, context);
    else
        attention::forward_plain(a, context);
}

void attention_backward(const AttentionBackward& a, Context& context) {
    if (a.batch * a.heads * a.rows_kv == 0) return;
    check_sizes(a);
    if (tensor_supports(a, context, {a.q, a.k, a.v, a.out, a.dout, a.dq, a.dk, a.dv}))
        attention::backward_tensor(a, context);
    else
        attention::backward_plain(a, context);
}

}  // namespace dropforge::kernels::on_cuda
