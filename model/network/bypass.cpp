#include "model/network/bypass.h"

#include "model/network/embeddings.h"
#include "model/network/loss_heads.h"

namespace dropforge {

namespace {

/// What the forward pass of a span leaves for its backward pass.
struct PassedSpan {
    Tensor index = {};  // the rows that take part; absent: all
    LayerStack layers = {};
    Tensor y = {};  // [B*S,h]
};

std::string name_of(int64_t layer) { return "bypass" + std::to_string(layer); }

PassedSpan span_forward(Builder& builder, const LayerSpan& span, Tensor x) {
    if (!span.rows.index) {
        const LayerStack layers = layers_forward(builder, span.begin, span.end, x, builder.lengths);
        return {.index = {}, .layers = layers, .y = layers.y};
    }
    const std::string name = name_of(span.begin);
    const Tensor rows = builder.activation(name + ".rows", {span.rows.index.shape.size(), builder.config.hidden});
    ops::gather_rows(builder.program, name + ".rows", x, span.rows.index, rows);
    PassedSpan p{.index = span.rows.index,
                 .layers = layers_forward(builder, span.begin, span.end, rows, span.rows.lengths),
                 .y = builder.activation(name, x.shape)};
    ops::merge_rows(builder.program, name, p.layers.y, p.index, x, p.y);
    return p;
}

/// The gradient at the span's input; dy is overwritten.
Tensor span_backward(Builder& builder, const PassedSpan& p, Tensor dy) {
    if (!p.index) return layers_backward(builder, p.layers, dy);
    const std::string name = name_of(p.layers.layers.front().index) + ".backward";
    const Tensor rows = builder.activation(name + ".rows", p.layers.y.shape);
    ops::split_rows(builder.program, name, dy, p.index, rows, dy, false);
    ops::scatter_rows(builder.program, name + ".rows", layers_backward(builder, p.layers, rows), p.index, dy,
                      ops::Scatter::replace);
    return dy;
}

struct Passed {
    LossRows rows;
    ops::Embedding embeddings;
    std::vector<PassedSpan> spans = {};
    EncoderLayer last = {};
    Losses losses = {};
};

Passed forward(Builder& builder, const std::vector<LayerSpan>& spans) {
    Passed p{.rows = loss_rows(builder, Readers(builder.options.heads)), .embeddings = embeddings_forward(builder)};
    Tensor x = p.embeddings.y;
    for (const LayerSpan& span : spans) x = p.spans.emplace_back(span_forward(builder, span, x)).y;
    p.last = encoder_layer_forward(builder, builder.config.layers - 1, x, {builder.lengths, p.rows.queries});
    p.losses = losses_forward(builder, p.last.y, p.rows, PassName::main);
    return p;
}

}  // namespace

void add_training_step(Builder& builder, const std::vector<LayerSpan>& spans) {
    const Passed p = forward(builder, spans);
    Tensor dy = encoder_layer_backward(builder, p.last, losses_backward(builder, p.losses));
    for (auto span = p.spans.rbegin(); span != p.spans.rend(); ++span) dy = span_backward(builder, *span, dy);
    embeddings_backward(builder, p.embeddings, dy);
}

void add_evaluation(Builder& builder, const std::vector<LayerSpan>& spans) { forward(builder, spans); }

}  // namespace dropforge
