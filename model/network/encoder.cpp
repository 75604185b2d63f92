#include "model/network/encoder.h"

namespace dropforge {

namespace {

std::string merge_name(const EncoderLayer& layer) { return "merge" + std::to_string(layer.index); }

}  // namespace

LayerStack layers_forward(Builder& builder, int64_t begin, int64_t end, Tensor x, Tensor lengths,
                          const std::vector<TokenSubset>& subsets) {
    LayerStack stack{.y = x, .lengths = lengths};
    for (int64_t i = begin; i < end; ++i) {
        const TokenSubset subset = subsets.empty() ? TokenSubset{} : subsets[static_cast<size_t>(i)];
        stack.layers.push_back(encoder_layer_forward(builder, i, stack.y, {stack.lengths, subset.index}));
        stack.y = stack.layers.back().y;
        if (subset.index) stack.lengths = subset.lengths;
    }
    return stack;
}

Tensor merge_forward(Builder& builder, const LayerStack& stack) {
    Tensor all = stack.y;
    for (auto layer = stack.layers.rbegin(); layer != stack.layers.rend(); ++layer) {
        if (!layer->queries) continue;
        const Tensor merged = builder.activation(merge_name(*layer), layer->x.shape);
        ops::merge_rows(builder.program, merge_name(*layer), all, layer->queries, layer->x, merged);
        all = merged;
    }
    return all;
}

MergeGradients merge_backward(Builder& builder, const LayerStack& stack, Tensor dmerged, Tensor into) {
    MergeGradients d{.dy = dmerged, .around = std::vector<Tensor>(stack.layers.size())};
    for (size_t i = 0; i < stack.layers.size(); ++i) {  // what was merged last is split first
        const EncoderLayer& layer = stack.layers[i];
        if (!layer.queries) continue;
        const bool accumulate = i == 0 && into;
        const Tensor rows = builder.activation(merge_name(layer) + ".rows_gradient",
                                               {layer.queries.shape.size(), builder.config.hidden});
        d.around[i] = accumulate ? into : d.dy;
        ops::split_rows(builder.program, merge_name(layer) + ".backward", d.dy, layer.queries, rows, d.around[i],
                        accumulate);
        d.dy = rows;
    }
    return d;
}

Tensor layers_backward(Builder& builder, const LayerStack& stack, Tensor dy, const std::vector<Tensor>& around) {
    for (size_t i = stack.layers.size(); i-- > 0 && stack.layers[i].index >= builder.options.frozen;)
        dy = encoder_layer_backward(builder, stack.layers[i], dy, around.empty() ? Tensor{} : around[i]);
    return dy;
}

}  // namespace dropforge
