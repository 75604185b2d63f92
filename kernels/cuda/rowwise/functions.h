// The CUDA backend's operations on rows; kernels/kernels.h says what each computes. Calls queue kernels on the
// context's stream. Pointers are to device memory, spans to host memory.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

void embedding_forward(const EmbeddingForward&, Context&);
void embedding_backward(const EmbeddingBackward&, Context&);
void layernorm_forward(const LayerNormForward&, Context&);
void layernorm_backward(const LayerNormBackward&, Context&);
void gelu_forward(const GeluForward&, Context&);
void gelu_backward(const GeluBackward&, Context&);
void tanh_forward(const TanhForward&, Context&);
void tanh_backward(const TanhBackward&, Context&);
void dropout(const DropoutRows&, Context&);
void column_sum(const ColumnSum&, Context&);
void gather_rows(const GatherRows&, Context&);
void scatter_rows(const ScatterRows&, Context&);
void merge_rows(const MergeRows&, Context&);
void split_rows(const SplitRows&, Context&);
void cross_entropy(const CrossEntropy&, Context&);
void squared_error(const SquaredError&, Context&);
void span_loss(const SpanLoss&, Context&);
void loss_totals(const LossTotals&, Context&);
void global_norm(const GlobalNorm&, Context&);
void loss_scale(const LossScaleStep&, Context&);
void adamw(const Update&, Context&);
void lamb(const Update&, Context&);
void token_values(const TokenValues&, Context&);
void top_k(const TopK&, Context&);
void importance_sums(const ImportanceSums&, Context&);
void importance_update(const ImportanceUpdate&, Context&);
void pool_forward(const PoolForward&, Context&);
void pool_backward(const PoolBackward&, Context&);
void kl_divergence(const KlDivergence&, Context&);
void cast(const Cast&, Context&);
void clear(const Clear&, Context&);
void add(const Add&, Context&);

}  // namespace dropforge::kernels::on_cuda
