// BERT's Programs: the training step of a micro-batch, evaluation, the optimizer's update, hidden states.
#pragma once

#include <functional>
#include <span>

#include "engine/program.h"
#include "model/network/encoder.h"
#include "model/network/parameters.h"

namespace dropforge {

/// Forward and backward of one micro-batch, dense, for options.training: inputs input_ids [B,S] (and token_type_ids,
/// lengths), masked_positions [B,M], masked_labels and masked_weights [B*M], mlm_scale [1], dropout_state [4]; with
/// next-sentence labels also next_sentence_labels [B], nsp_scale [1]; loss_rows and its like as
/// model/network/loss_heads.h says. Outputs mlm_totals [3], position_loss [B*M], nsp_totals [3], the gradients; with
/// options.importance also importance_sums and importance_counts [V]. The last layer computes only rows that a loss
/// reads.
Program dense_step(const Parameters& parameters, const BuildOptions& options);

/// Adds the ops of such a step, with `dropped` tokens left out.
void add_training_step(Builder& builder, const DroppedTokens& dropped);

/// MLM loss without dropout and gradients: same inputs but the scales and the dropout state; same totals.
Program evaluation(const Parameters& parameters, const BuildOptions& options);

/// Embeddings' output and every layer's, all rows, bound as "hidden/0" … "hidden/L" f32 [B*S,h]; with an MLM head and
/// options.masked > 0 also "logits" f32 [B*M, padded V] at masked_positions.
Program hidden_states(const Parameters& parameters, const BuildOptions& options);

/// Gradient norm and update of the arenas parameters, gradients, moment1, moment2 [size], copy (of 16 bits), by the
/// input update_scalars; output gradient_norm [1]. In fp16 also of loss_scale; output scaled_scalars. `also`, if given,
/// adds further ops that read the norm. `segments` must outlive the program.
Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments,
                       const std::function<void(Program&, Tensor norm)>& also = {});

}  // namespace dropforge
