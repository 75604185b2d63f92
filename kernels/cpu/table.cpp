// The table of the CPU backend at the level that this folder is compiled for.
#include "kernels/cpu/context.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu_tables.h"
#include "kernels/reference/loops.h"

#define DROPFORGE_TEXT(x) DROPFORGE_TEXT_OF(x)
#define DROPFORGE_TEXT_OF(x) #x
#define DROPFORGE_JOIN(a, b) DROPFORGE_JOIN_OF(a, b)
#define DROPFORGE_JOIN_OF(a, b) a##b

namespace dropforge::kernels {

/// The only global symbol of this folder's object (cmake/cpu_levels.cmake).
const KernelTable& DROPFORGE_JOIN(cpu_, DROPFORGE_CPU_LEVEL)() {
    static const KernelTable table = {
        .name = "cpu " DROPFORGE_TEXT(DROPFORGE_CPU_LEVEL),
        .create_context = []() -> std::unique_ptr<Context> { return std::make_unique<on_cpu::CpuContext>(); },
        .gemm = on_cpu::gemm,
        .embedding_forward = on_cpu::embedding_forward,
        .embedding_backward = on_cpu::embedding_backward,
        .layernorm_forward = on_cpu::layernorm_forward,
        .layernorm_backward = on_cpu::layernorm_backward,
        .attention_forward = on_cpu::attention_forward,
        .attention_backward = on_cpu::attention_backward,
        .gelu_forward = on_cpu::gelu_forward,
        .gelu_backward = on_cpu::gelu_backward,
        .tanh_forward = on_cpu::tanh_forward,
        .tanh_backward = on_cpu::tanh_backward,
        .dropout = on_cpu::dropout,
        .column_sum = on_cpu::column_sum,
        .gather_rows = on_cpu::gather_rows,
        .scatter_rows = on_cpu::scatter_rows,
        .cross_entropy = on_cpu::cross_entropy,
        .squared_error = on_cpu::squared_error,
        .span_loss = on_cpu::span_loss,
        .loss_totals = on_cpu::loss_totals,
        .global_norm = on_cpu::global_norm,
        .loss_scale = loops::loss_scale,  // a dozen operations
        .adamw = on_cpu::adamw,
        .lamb = on_cpu::lamb,
        .cast = on_cpu::cast,
        .clear = on_cpu::clear,
        .add = on_cpu::add,
        .token_values = on_cpu::token_values,
        .top_k = on_cpu::top_k,
        .merge_rows = on_cpu::merge_rows,
        .split_rows = on_cpu::split_rows,
        .importance_sums = on_cpu::importance_sums,
        .importance_update = on_cpu::importance_update,
        .pool_forward = on_cpu::pool_forward,
        .pool_backward = on_cpu::pool_backward,
        .kl_divergence = on_cpu::kl_divergence,
    };
    return table;
}

}  // namespace dropforge::kernels
