// One post-LN encoder layer, forward and backward (Devlin et al. 2019; op by op in docs/architecture.md), on all rows
// or on some (Hou et al. 2022, section 3.1).
#pragma once

#include "model/network/builder.h"

namespace dropforge {

/// What the forward pass of a layer leaves for its backward pass.
struct EncoderLayer {
    int64_t index = 0;
    Tensor queries = {};  // i32 [B,R]: positions that ask, go through the FFN and come out; absent: all rows (R = S)
    Tensor x, xq;         // [B*S,h] input; its query rows [B*R,h] (x itself without `queries`)
    Tensor qkv = {};      // [B*S,3h]; with `queries`: kv [B*S,2h]
    Tensor q = {};        // with `queries`: [B*R,h]
    ops::Attention attention = {};
    ops::LayerNorm attention_norm = {}, output_norm = {};
    Tensor u = {};  // [B*R,4h] before GELU
    Tensor a = {};  // after it; with BuildOptions::keep_gelu only
    Tensor y = {};  // [B*R,h] output
};

/// Which rows of its input a layer works on.
struct LayerRows {
    Tensor lengths = {};  // i32 [B]: real rows of x in each sequence, which come first; absent: all
    Tensor queries = {};  // i32 [B,R]; absent: all
};

/// Adds the forward ops of layer `index` on x [B*S,h]. With `queries` only those rows of x are computed further, over
/// keys and values of all rows: where tokens are dropped, and in the last layer at the positions that a loss reads.
EncoderLayer encoder_layer_forward(Builder& builder, int64_t index, Tensor x, const LayerRows& rows);

/// Adds the backward ops: parameter gradients, and the gradient at x, which it returns ([B*S,h]). dy is overwritten.
/// `around`, only for a layer with `queries`: gradient that reaches x past the layer; it is added to and returned.
Tensor encoder_layer_backward(Builder& builder, const EncoderLayer& layer, Tensor dy, Tensor around = {});

}  // namespace dropforge
