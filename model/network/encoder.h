// Encoder layers one after the other, on all tokens or with tokens dropped on the way and brought back at the end
// (Hou et al. 2022, section 3.1), forward and backward.
#pragma once

#include <vector>

#include "model/network/encoder_layer.h"

namespace dropforge {

/// The tokens that stay from one layer on.
struct TokenSubset {
    Tensor index = {};    // i32 [B,R] ascending rows of those of the layer before; absent: all stay
    Tensor lengths = {};  // i32 [B]: real ones among the R, which come first; absent: all
};

/// Which tokens stay in which layers of one Program.
struct DroppedTokens {
    int64_t first = 0;                      // the first layer that drops tokens; L-1 if none does
    std::vector<TokenSubset> subsets = {};  // by layer; empty: none
};

/// What the forward pass of consecutive layers leaves for its backward pass.
struct LayerStack {
    std::vector<EncoderLayer> layers = {};
    Tensor y = {};        // [B*R,h] output of the last one, the tokens that are left
    Tensor lengths = {};  // i32 [B] as TokenSubset::lengths, of y
};

/// Adds layers begin … end-1 on x [B*S,h] with real rows `lengths`. subsets[i], if there are any, holds for layer i and
/// those after it: layer i computes its rows only, over keys and values of all rows of its input.
LayerStack layers_forward(Builder& builder, int64_t begin, int64_t end, Tensor x, Tensor lengths,
                          const std::vector<TokenSubset>& subsets = {});

/// y with the dropped tokens brought back as they were when they were dropped: [B*S,h] as the stack's input. y itself
/// if none was.
Tensor merge_forward(Builder& builder, const LayerStack& stack);

/// Gradients from the backward pass of the merge.
struct MergeGradients {
    Tensor dy;                   // at the stack's output
    std::vector<Tensor> around;  // by layer: at its input, from tokens that it dropped; absent where it dropped none
};
/// dmerged is overwritten. `into`, if given: a gradient at the stack's input to which that of the dropped tokens is
/// added; only for a stack whose first layer drops tokens.
MergeGradients merge_backward(Builder& builder, const LayerStack& stack, Tensor dmerged, Tensor into = {});

/// Adds the backward ops of all layers that are not frozen; returns the gradient at the input of the lowest of them.
/// `around` as of merge_backward, or empty. dy is overwritten.
Tensor layers_backward(Builder& builder, const LayerStack& stack, Tensor dy, const std::vector<Tensor>& around = {});

}  // namespace dropforge
