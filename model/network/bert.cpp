#include "model/network/bert.h"

#include <vector>

#include "model/network/embeddings.h"
#include "model/network/encoder.h"
#include "model/network/loss_heads.h"
#include "model/network/mlm_head.h"
#include "model/network/names.h"
#include "model/ops/dropping_ops.h"

namespace dropforge {

namespace {

/// Encoder up to the last layer's output, forward.
struct Encoder {
    ops::Embedding embeddings;
    LayerStack trunk = {}, middle = {};  // before the first layer that drops tokens, and from there on
    EncoderLayer last = {};
};

Encoder encoder_forward(Builder& builder, const LossRows& rows, const DroppedTokens& dropped) {
    const int64_t last = builder.config.layers - 1;
    Encoder e{.embeddings = embeddings_forward(builder)};
    e.trunk = layers_forward(builder, 0, dropped.first, e.embeddings.y, builder.lengths);
    e.middle = layers_forward(builder, dropped.first, last, e.trunk.y, builder.lengths, dropped.subsets);
    e.last = encoder_layer_forward(builder, last, merge_forward(builder, e.middle), {builder.lengths, rows.queries});
    return e;
}

/// dy: at the last layer's output.
void encoder_backward(Builder& builder, const Encoder& e, Tensor dy) {
    if (e.last.index < builder.options.frozen) return;
    dy = encoder_layer_backward(builder, e.last, dy);
    const MergeGradients merge = merge_backward(builder, e.middle, dy);
    dy = layers_backward(builder, e.middle, merge.dy, merge.around);
    dy = layers_backward(builder, e.trunk, dy);
    if (builder.options.frozen == 0) embeddings_backward(builder, e.embeddings, dy);
}

/// The MLM head's logits of `rows` [R,h], bound as names::kLogits.
void keep_logits(Builder& builder, Tensor rows) {
    const Tensor logits = mlm_logits(builder, rows);
    ops::cast(builder.program, "keep logits", logits, builder.program.bound(names::kLogits, DType::f32, logits.shape));
}

/// Drops nothing.
DroppedTokens none(const Builder& builder) { return {.first = builder.config.layers - 1}; }

}  // namespace

void add_training_step(Builder& builder, const DroppedTokens& dropped) {
    const LossRows rows = loss_rows(builder, Readers(builder.options.heads));
    const Encoder encoder = encoder_forward(builder, rows, dropped);
    const Losses losses = losses_forward(builder, encoder.last.y, rows, PassName::main);
    record_importance(builder);
    encoder_backward(builder, encoder, losses_backward(builder, losses));
}

Program dense_step(const Parameters& parameters, const BuildOptions& options) {
    Program program(options.accumulate ? "dense step, accumulating" : "dense step");
    Builder builder(program, parameters, options);
    add_training_step(builder, none(builder));
    return program;
}

Tensor add_encoder(Builder& builder, HeadRows rows) {
    Readers readers({});
    readers.masked = rows == HeadRows::masked;
    readers.cls = rows == HeadRows::cls;
    readers.all = rows == HeadRows::all;
    return encoder_forward(builder, loss_rows(builder, readers), none(builder)).last.y;
}

Program evaluation(const Parameters& parameters, const BuildOptions& options) {
    Program program("evaluation");
    Builder builder(program, parameters, options);
    const LossRows rows = loss_rows(builder, Readers(options.heads));
    losses_forward(builder, encoder_forward(builder, rows, none(builder)).last.y, rows, PassName::main);
    return program;
}

Program sentence_vectors(const Parameters& parameters, const BuildOptions& options, Pooling pooling) {
    Program program("sentence vectors");
    Builder builder(program, parameters, options);
    const Tensor vectors = program.bound(names::kSentenceVectors, DType::f32, {options.batch, builder.config.hidden});
    if (pooling == Pooling::cls)
        ops::cast(program, "keep vectors", add_encoder(builder, HeadRows::cls), vectors);
    else
        ops::pool_forward(
            program, "mean",
            {.x = add_encoder(builder, HeadRows::all), .lengths = builder.lengths, .count = options.sequence}, vectors);
    return program;
}

Program mask_logits(const Parameters& parameters, const BuildOptions& options) {
    Program program("mask logits");
    Builder builder(program, parameters, options);
    keep_logits(builder, add_encoder(builder, HeadRows::masked));
    return program;
}

Program hidden_states(const Parameters& parameters, const BuildOptions& options) {
    Program program("hidden states");
    Builder builder(program, parameters, options);
    const int64_t t = options.batch * options.sequence, h = builder.config.hidden;
    const auto keep = [&](Tensor x, int64_t i) {
        const Tensor out = program.bound(names::hidden(i), DType::f32, {t, h});
        ops::cast(program, "keep " + names::hidden(i), x, out);
    };
    Tensor x = embeddings_forward(builder).y;
    keep(x, 0);
    for (int64_t i = 0; i < builder.config.layers; ++i)
        keep(x = encoder_layer_forward(builder, i, x, {builder.lengths}).y, i + 1);
    if (!parameters.heads().has(mlm_head()) || options.masked == 0) return program;
    const Tensor index = program.bound(names::kMaskedPositions, DType::i32, {options.batch, options.masked});
    const Tensor rows = builder.activation("mlm/rows", {index.shape.size(), h});
    ops::gather_rows(program, "mlm/rows", x, index, rows);
    keep_logits(builder, rows);
    return program;
}

}  // namespace dropforge
