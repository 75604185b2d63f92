// BERT's Programs: the training step of a micro-batch, evaluation, hidden states.
#pragma once

#include "engine/program.h"
#include "model/network/encoder.h"
#include "model/network/parameters.h"
#include "model/network/pooling.h"

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

/// Adds embeddings and encoder, dropping nothing; the last layer computes only these rows of its output [R,h], which is
/// returned.
Tensor add_encoder(Builder& builder, HeadRows rows);

/// MLM loss without dropout and gradients: same inputs but the scales and the dropout state; same totals.
Program evaluation(const Parameters& parameters, const BuildOptions& options);

/// A vector of each sequence, bound as "sentence_vectors" f32 [B,h]. If it is the row of [CLS], the last layer computes
/// no other.
Program sentence_vectors(const Parameters& parameters, const BuildOptions& options, Pooling pooling);

/// Logits of the MLM head at masked_positions [B,M], bound as "logits" f32 [B*M, padded V].
Program mask_logits(const Parameters& parameters, const BuildOptions& options);

/// Embeddings' output and every layer's, all rows, bound as "hidden/0" … "hidden/L" f32 [B*S,h]; with an MLM head and
/// options.masked > 0 also "logits" f32 [B*M, padded V] at masked_positions.
Program hidden_states(const Parameters& parameters, const BuildOptions& options);

}  // namespace dropforge
