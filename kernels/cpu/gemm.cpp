// Which GEMM serves which call.
#include "kernels/cpu/gemm.h"

#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// Our kernel is ahead of oneDNN and of PyTorch's MKL and oneDNN at the shapes of BERT on AVX-512 machines (`bench
/// gemm` shows it), so it serves whatever it was built for. oneDNN serves other CPUs, and bf16 where the machine has
/// AMX tiles, which only oneDNN uses.
bool use_blocked(DType dtype) {
#ifdef __AMX_BF16__
    if (dtype == DType::bf16) return false;
#endif
    return gemm_blocked_supports(dtype);
}

}  // namespace

void gemm(const Gemm& g, Context& context) {
    refuse_fp16(g.dtype);
    auto& cpu_context = static_cast<CpuContext&>(context);
    if (g.a_sums) column_sum(column_sum_of(g), context);
    use_blocked(g.dtype) ? gemm_blocked(g, cpu_context) : gemm_onednn(g, cpu_context);
    if (g.gelu.output) gelu_forward(gelu_after(g), context);
    if (g.gelu.input) gelu_backward(gelu_slope_after(g), context);
}

}  // namespace dropforge::kernels::on_cpu
