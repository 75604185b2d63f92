// Next-sentence prediction: tanh pooler over [CLS], two-way classifier, cross-entropy (Devlin et al. 2019,
// section 3.1).
#pragma once

#include "model/network/builder.h"

namespace dropforge {

struct NspHead {
    Tensor rows;         // [B,h] hidden states at [CLS]
    Tensor pooled = {};  // [B,h]
    Tensor logits = {};  // [B,2]; in training overwritten by their own gradient
};

/// Loss over the input next_sentence_labels [B], sums into `totals` f32 [3]. In training the gradient is scaled by the
/// input nsp_scale [1].
NspHead nsp_forward(Builder& builder, Tensor rows, Tensor totals);
/// Parameter gradients, and the gradient at the rows, which it returns.
Tensor nsp_backward(Builder& builder, const NspHead& head);

}  // namespace dropforge
