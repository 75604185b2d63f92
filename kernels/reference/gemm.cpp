// GEMM with optional transposes, bias, accumulation, bias gradient and GELU.
#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// c[i,j] (+)= Σ_l op(a)[i,l]·op(b)[l,j] + bias[j].
template <typename Real, typename In, typename Out>
void multiply(const Gemm& g) {
    const auto* a = static_cast<const In*>(g.a);
    const auto* b = static_cast<const In*>(g.b);
    auto* c = static_cast<Out*>(g.c);
    for (int64_t i = 0; i < g.m; ++i) {
        for (int64_t j = 0; j < g.n; ++j) {
            Real sum = 0;
            for (int64_t l = 0; l < g.k; ++l) {
                const In left = g.transpose_a ? a[l * g.lda + i] : a[i * g.lda + l];
                const In right = g.transpose_b ? b[j * g.ldb + l] : b[l * g.ldb + j];
                sum += get<Real>(left) * get<Real>(right);
            }
            if (g.bias) sum += get<Real>(g.bias[j]);
            assign_or_add(c[i * g.ldc + j], sum, g.accumulate);
        }
    }
}

}  // namespace

template <typename Real>
void gemm(const Gemm& g, Context& context) {
    if (g.bias_gradient) column_sum<Real>(column_sum_of(g), context);
    with_float_type(g.dtype, [&](auto in) {
        with_float_type(g.out, [&](auto out) { multiply<Real, decltype(in), decltype(out)>(g); });
    });
    if (g.gelu.output) gelu_forward<Real>(gelu_after(g), context);
    if (g.gelu.input) gelu_backward<Real>(gelu_slope_after(g), context);
}

template void gemm<double>(const Gemm&, Context&);
template void gemm<float>(const Gemm&, Context&);

}  // namespace dropforge::kernels::loops
