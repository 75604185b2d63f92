#include "model/network/bypass.h"

namespace dropforge {

namespace {

std::string name_of(int64_t layer) { return "bypass" + std::to_string(layer); }

}  // namespace

Bypass bypass_forward(Builder& builder, int64_t begin, int64_t end, Tensor x, const TokenSubset& subset) {
    const std::string name = name_of(begin);
    const Tensor rows = builder.activation(name + ".rows", {subset.index.shape.size(), builder.config.hidden});
    ops::gather_rows(builder.program, name + ".rows", x, subset.index, rows);
    Bypass b{.index = subset.index,
             .layers = layers_forward(builder, begin, end, rows, subset.lengths),
             .y = builder.activation(name, x.shape)};
    ops::merge_rows(builder.program, name, b.layers.y, b.index, x, b.y);
    return b;
}

Tensor bypass_backward(Builder& builder, const Bypass& b, Tensor dy) {
    const std::string name = name_of(b.layers.layers.front().index) + ".backward";
    const Tensor rows = builder.activation(name + ".rows", b.layers.y.shape);
    ops::split_rows(builder.program, name, dy, b.index, rows, dy, false);
    ops::scatter_rows(builder.program, name + ".rows", layers_backward(builder, b.layers, rows), b.index, dy,
                      ops::Scatter::replace);
    return dy;
}

}  // namespace dropforge
