// Layers that work on some of the rows alone, queries, keys and values, while the others pass them by.
#pragma once

#include "model/network/encoder.h"

namespace dropforge {

struct Bypass {
    Tensor index = {};       // i32 [B,R] the rows that take part, ascending
    LayerStack layers = {};  // on these
    Tensor y = {};           // [B*S,h] the layers' output at these rows, x at the others
};

/// Adds layers begin … end-1 on the rows of x [B*S,h] that `subset` names; its lengths are the real ones among them.
Bypass bypass_forward(Builder& builder, int64_t begin, int64_t end, Tensor x, const TokenSubset& subset);
/// The gradient at x; dy is overwritten.
Tensor bypass_backward(Builder& builder, const Bypass& bypass, Tensor dy);

}  // namespace dropforge
