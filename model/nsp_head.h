// Next-sentence prediction: tanh pooler over [CLS], two-way classifier, cross-entropy (Devlin et al. 2019,
// section 3.1).
#pragma once

#include "model/graph.h"

namespace dropforge {

struct NspHead {
    Tensor rows;         // [B,h] hidden states at [CLS]
    Tensor pooled = {};  // [B,h]
    Tensor logits = {};  // [B,2]; in training overwritten by their own gradient
};

/// Binds the input next_sentence_labels [B] and the output nsp_totals [3]; in training the input nsp_scale [1]: one
/// over the number of sequences of the optimizer step.
NspHead nsp_forward(Graph& graph, Tensor rows);
/// Parameter gradients, and the gradient at the rows, which it returns.
Tensor nsp_backward(Graph& graph, const NspHead& head);

}  // namespace dropforge
