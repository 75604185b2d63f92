#include "kernels/cuda/backend.h"

#include "kernels/cuda/attention/functions.h"
#include "kernels/cuda/gemm/functions.h"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels {

namespace {

KernelTable make_table() {
    KernelTable t{};  // what is not named here is nullptr
    t.name = "cuda";
    t.create_context = []() -> std::unique_ptr<Context> { return on_cuda::create_context({}); };
    t.gemm = on_cuda::gemm;
    t.embedding_forward = on_cuda::embedding_forward;
    t.embedding_backward = on_cuda::embedding_backward;
    t.layernorm_forward = on_cuda::layernorm_forward;
    t.layernorm_backward = on_cuda::layernorm_backward;
    t.attention_forward = on_cuda::chosen_attention_forward;
    t.attention_backward = on_cuda::chosen_attention_backward;
    t.gelu_forward = on_cuda::gelu_forward;
    t.gelu_backward = on_cuda::gelu_backward;
    t.tanh_forward = on_cuda::tanh_forward;
    t.tanh_backward = on_cuda::tanh_backward;
    t.dropout = on_cuda::dropout;
    t.column_sum = on_cuda::column_sum;
    t.gather_rows = on_cuda::gather_rows;
    t.scatter_rows = on_cuda::scatter_rows;
    t.cross_entropy = on_cuda::cross_entropy;
    t.squared_error = on_cuda::squared_error;
    t.span_loss = on_cuda::span_loss;
    t.loss_totals = on_cuda::loss_totals;
    t.global_norm = on_cuda::global_norm;
    t.loss_scale = on_cuda::loss_scale;
    t.adamw = on_cuda::adamw;
    t.lamb = on_cuda::lamb;
    t.cast = on_cuda::cast;
    t.clear = on_cuda::clear;
    t.add = on_cuda::add;
    t.token_values = on_cuda::token_values;
    t.top_k = on_cuda::top_k;
    t.importance_sums = on_cuda::importance_sums;
    t.importance_update = on_cuda::importance_update;
    t.merge_rows = on_cuda::merge_rows;
    t.split_rows = on_cuda::split_rows;
    t.pool_forward = on_cuda::pool_forward;
    t.pool_backward = on_cuda::pool_backward;
    t.kl_divergence = on_cuda::kl_divergence;
    return t;
}

}  // namespace

const KernelTable& cuda() {
    static const KernelTable table = make_table();
    return table;
}

const KernelTable& cuda_tf32() {
    static const KernelTable table = [] {
        KernelTable t = make_table();
        t.create_context = []() -> std::unique_ptr<Context> { return on_cuda::create_context({.tf32 = true}); };
        return t;
    }();
    return table;
}

namespace on_cuda {

std::unique_ptr<Context> create_context(const CudaOptions& options) { return std::make_unique<CudaContext>(options); }

}  // namespace on_cuda
}  // namespace dropforge::kernels
