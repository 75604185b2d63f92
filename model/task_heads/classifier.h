// The end of every task's head: dropout, and a linear layer whose logits are f32 whatever the activations are.
#pragma once

#include "model/network/builder.h"

namespace dropforge {

/// What the forward pass leaves for the backward pass.
struct ClassifierPass {
    Parameters::Linear linear;
    ops::DropoutSite dropout;
    int64_t rows_per_sequence;
    Tensor x = {};       // [R,h] after dropout
    Tensor logits = {};  // f32 [R,C]; in training the loss overwrites them by their gradient
};

/// `rows` [R,h]; in training they may be overwritten.
ClassifierPass classifier_forward(Builder& builder, const std::string& parameter, Tensor rows, float dropout);
/// Parameter gradients from that at the logits, and the gradient at the rows, which it returns.
Tensor classifier_backward(Builder& builder, const ClassifierPass& pass);

}  // namespace dropforge
