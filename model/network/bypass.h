// Steps in which layers work on some of the rows alone, queries, keys and values, while the others pass them by.
#pragma once

#include <vector>

#include "model/network/encoder.h"

namespace dropforge {

/// Layers begin … end-1, and the rows that they work on; `rows.lengths`: real ones among them.
struct LayerSpan {
    int64_t begin = 0, end = 0;
    TokenSubset rows = {};  // of all rows; absent: all
};

/// Adds forward and backward of a micro-batch as dense_step() has them (model/network/bert.h). `spans` are the layers
/// before the last, which sees all rows, in their order; rows that a span leaves out come out of it as they went in.
void add_training_step(Builder& builder, const std::vector<LayerSpan>& spans);
/// Adds the forward pass of evaluation() likewise.
void add_evaluation(Builder& builder, const std::vector<LayerSpan>& spans);

}  // namespace dropforge
