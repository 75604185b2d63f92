// The pooler: tanh of a dense layer over [CLS], for heads that classify sequences (Devlin et al. 2019, section 3.1).
#pragma once

#include "model/network/builder.h"

namespace dropforge {

/// What the forward pass leaves for the backward pass.
struct PoolerPass {
    Tensor rows;    // [B,h] hidden states at [CLS]
    Tensor y = {};  // [B,h]
};

PoolerPass pooler_forward(Builder& builder, Tensor rows);
/// Parameter gradients, and the gradient at the rows, which it returns.
Tensor pooler_backward(Builder& builder, const PoolerPass& pooled, Tensor dy);

}  // namespace dropforge
