// The masked-language-model head: dense, GELU, LayerNorm, decoder (tied to the word embeddings in all that is trained),
// cross-entropy fused and in place.
#pragma once

#include "model/network/builder.h"

namespace dropforge {

/// Logits [R, padded V] of `rows` [R,h].
Tensor mlm_logits(Builder& builder, Tensor rows);

}  // namespace dropforge
