#include "model/network/bert.h"

#include <vector>

#include "model/network/embeddings.h"
#include "model/network/encoder.h"
#include "model/network/loss_heads.h"

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
    dy = encoder_layer_backward(builder, e.last, dy);
    const MergeGradients merge = merge_backward(builder, e.middle, dy);
    dy = layers_backward(builder, e.middle, merge.dy, merge.around);
    dy = layers_backward(builder, e.trunk, dy);
    embeddings_backward(builder, e.embeddings, dy);
}

/// Drops nothing.
DroppedTokens none(const Builder& builder) { return {.first = builder.config.layers - 1}; }

}  // namespace

void add_training_step(Builder& builder, const DroppedTokens& dropped) {
    const LossRows rows = loss_rows(builder, {.cls = builder.options.next_sentence});
    const Encoder encoder = encoder_forward(builder, rows, dropped);
    const LossHeads heads = loss_heads_forward(builder, encoder.last.y, rows, PassName::main);
    record_importance(builder);
    encoder_backward(builder, encoder, loss_heads_backward(builder, heads));
}

Program dense_step(const Parameters& parameters, const BuildOptions& options) {
    Program program(options.accumulate ? "dense step, accumulating" : "dense step");
    Builder builder(program, parameters, options);
    add_training_step(builder, none(builder));
    return program;
}

Program evaluation(const Parameters& parameters, const BuildOptions& options) {
    Program program("evaluation");
    Builder builder(program, parameters, options);
    const LossRows rows = loss_rows(builder, {.cls = options.next_sentence});
    loss_heads_forward(builder, encoder_forward(builder, rows, none(builder)).last.y, rows, PassName::main);
    return program;
}

Program hidden_states(const Parameters& parameters, const BuildOptions& options) {
    Program program("hidden states");
    Builder builder(program, parameters, options);
    const int64_t t = options.batch * options.sequence, h = builder.config.hidden;
    const auto keep = [&](Tensor x, int64_t i) {
        const Tensor out = program.bound("hidden/" + std::to_string(i), DType::f32, {t, h});
        ops::cast(program, "keep hidden/" + std::to_string(i), x, out);
    };
    Tensor x = embeddings_forward(builder).y;
    keep(x, 0);
    for (int64_t i = 0; i < builder.config.layers; ++i)
        keep(x = encoder_layer_forward(builder, i, x, {builder.lengths}).y, i + 1);
    if (!parameters.heads().mlm || options.masked == 0) return program;
    const Tensor index = program.bound("masked_positions", DType::i32, {options.batch, options.masked});
    const Tensor rows = builder.activation("mlm/rows", {index.shape.size(), h});
    ops::gather_rows(program, "mlm/rows", x, index, rows);
    const Tensor logits = mlm_logits(builder, rows).logits;
    ops::cast(program, "keep logits", logits, program.bound("logits", DType::f32, logits.shape));
    return program;
}

Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments,
                       const std::function<void(Program&, Tensor norm)>& also) {
    Program program("optimizer step");
    const Shape arena{parameters.size()};
    const auto f32 = [&](const char* name, const Shape& shape) { return program.bound(name, DType::f32, shape); };
    const Shape of_scalars{sizeof(kernels::UpdateScalars) / sizeof(float)};
    ops::Update u{.parameters = f32("parameters", arena),
                  .gradients = f32("gradients", arena),
                  .moment1 = f32("moment1", arena),
                  .moment2 = f32("moment2", arena),
                  .copy = is_16_bit(dtype) ? program.bound("copy", dtype, arena) : Tensor{},
                  .norm = f32("gradient_norm", {1}),
                  .scalars = f32("update_scalars", of_scalars)};
    if (dtype == DType::fp16) {
        u.loss_scale = f32("loss_scale", {sizeof(kernels::LossScale) / sizeof(float)});
        u.scaled_scalars = f32("scaled_scalars", of_scalars);
    }
    ops::update(program, optimizer, u, segments);
    if (also) also(program, u.norm);
    return program;
}

}  // namespace dropforge
