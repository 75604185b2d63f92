// The masked-language-model head: dense, GELU, LayerNorm, decoder (tied to the word embeddings in all that is trained),
// cross-entropy fused and in place.
#pragma once

#include "model/network/builder.h"

namespace dropforge {

/// What the forward pass leaves for the backward pass.
struct MlmHead {
    Tensor rows;              // [R,h] hidden states at the masked positions
    Tensor dense, gelu = {};  // [R,h]
    ops::LayerNorm norm = {};
    Tensor logits = {};  // [R, padded V]; in training overwritten by their own gradient
};

/// Logits of `rows` [R,h].
MlmHead mlm_logits(Builder& builder, Tensor rows);
/// mlm_logits and the loss over the inputs masked_labels, masked_weights [R]: the unreduced one into `position_loss`
/// f32 [R], sums into `totals` f32 [3]. In training the gradient is scaled by the input mlm_scale [1].
MlmHead mlm_forward(Builder& builder, Tensor rows, Tensor position_loss, Tensor totals);
/// Parameter gradients (the decoder's is assigned or accumulated first here), and the gradient at the rows, which it
/// returns.
Tensor mlm_backward(Builder& builder, const MlmHead& head);

}  // namespace dropforge
