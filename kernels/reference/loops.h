// Every operation as plain loops over an arithmetic: double is the reference (the maths, and the oracle of the tests),
// float the straightforward implementation, to whose errors the tests compare those of the fast backends.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/kernels.h"

namespace dropforge::kernels {

/// The loops of reference() with f32 arithmetic, terms added one after the other, and intermediate matrices that a
/// framework would keep in memory rounded to the storage type. For tests only.
const KernelTable& straightforward();

namespace loops {

template <typename Real>
void gemm(const Gemm&, Context&);
template <typename Real>
void embedding_forward(const EmbeddingForward&, Context&);
template <typename Real>
void embedding_backward(const EmbeddingBackward&, Context&);
template <typename Real>
void layernorm_forward(const LayerNormForward&, Context&);
template <typename Real>
void layernorm_backward(const LayerNormBackward&, Context&);
template <typename Real>
void attention_forward(const AttentionForward&, Context&);
template <typename Real>
void attention_backward(const AttentionBackward&, Context&);
template <typename Real>
void gelu_forward(const GeluForward&, Context&);
template <typename Real>
void gelu_backward(const GeluBackward&, Context&);
template <typename Real>
void tanh_forward(const TanhForward&, Context&);
template <typename Real>
void tanh_backward(const TanhBackward&, Context&);
template <typename Real>
void dropout(const DropoutRows&, Context&);
template <typename Real>
void column_sum(const ColumnSum&, Context&);
template <typename Real>
void scatter_rows(const ScatterRows&, Context&);
template <typename Real>
void cross_entropy(const CrossEntropy&, Context&);
template <typename Real>
void squared_error(const SquaredError&, Context&);
template <typename Real>
void span_loss(const SpanLoss&, Context&);
template <typename Real>
void loss_totals(const LossTotals&, Context&);
template <typename Real>
void global_norm(const GlobalNorm&, Context&);
template <typename Real>
void adamw(const Update&, Context&);
template <typename Real>
void lamb(const Update&, Context&);
template <typename Real>
void add(const Add&, Context&);
template <typename Real>
void token_values(const TokenValues&, Context&);
template <typename Real>
void split_rows(const SplitRows&, Context&);
template <typename Real>
void importance_sums(const ImportanceSums&, Context&);
template <typename Real>
void importance_update(const ImportanceUpdate&, Context&);
template <typename Real>
void pool_forward(const PoolForward&, Context&);
template <typename Real>
void pool_backward(const PoolBackward&, Context&);
template <typename Real>
void kl_divergence(const KlDivergence&, Context&);
void gather_rows(const GatherRows&, Context&);
void merge_rows(const MergeRows&, Context&);
void top_k(const TopK&, Context&);
void cast(const Cast&, Context&);
void loss_scale(const LossScaleStep&, Context&);

/// Conversion of a stored element to a number of the arithmetic, and back.
template <typename Real, typename T>
Real get(T element) {
    return static_cast<Real>(static_cast<float>(element));
}
template <typename T, typename Real>
T put(Real value) {
    return static_cast<T>(static_cast<float>(value));
}

/// An element of an intermediate matrix inside an operation: exact in the reference, rounded to T in the
/// straightforward implementation.
template <typename T, typename Real>
Real intermediate(Real value) {
    return std::is_same_v<Real, double> ? value : get<Real>(put<T>(value));
}

/// to = value, or to += value: one rounding either way.
template <typename T, typename Real>
void assign_or_add(T& to, Real value, bool accumulate) {
    to = put<T>(accumulate ? get<Real>(to) + value : value);
}

/// Mean and 1/√(variance + epsilon) of a row (Ba et al. 2016, equation 3).
template <typename Real>
struct Moments {
    Real mean = 0, rstd = 0;
};
template <typename Real>
Moments<Real> moments(const Real* z, int64_t columns, float epsilon);

/// Gradient at LayerNorm's input: replaces g[c] = dy[c]·gain[c] by dz[c] = rstd·(g[c] − mean(g) − ẑ[c]·mean(g·ẑ)),
/// where ẑ[c] = normalized[c] = (z[c] − mean)·rstd: the chain rule through mean and variance.
template <typename Real>
void layernorm_input_gradient(Real* g, const Real* normalized, Real rstd, int64_t columns);

}  // namespace loops
}  // namespace dropforge::kernels
