// Word + position + segment embeddings, LayerNorm, dropout: the encoder's input, forward and backward.
#pragma once

#include "model/network/builder.h"
#include "model/ops/embedding_ops.h"

namespace dropforge {

/// Adds the forward op; .y is [B*S,h]. The result is what the backward op needs.
ops::Embedding embeddings_forward(Builder& builder);
/// Adds the backward op. The word table's gradient is added to what the tied decoder has put there.
void embeddings_backward(Builder& builder, const ops::Embedding& embeddings, Tensor dy);

}  // namespace dropforge
