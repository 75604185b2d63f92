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

Encoder encoder_forward(Graph& g, const LossRows& rows, const DroppedTokens& dropped) {
    const int64_t last = g.config.layers - 1;
    Encoder e{.embeddings = embeddings_forward(g)};
    e.trunk = layers_forward(g, 0, dropped.first, e.embeddings.y, g.lengths);
    e.middle = layers_forward(g, dropped.first, last, e.trunk.y, g.lengths, dropped.subsets);
    e.last = encoder_layer_forward(g, last, merge_forward(g, e.middle), {g.lengths, rows.queries});
    return e;
}

/// dy: at the last layer's output.
void encoder_backward(Graph& g, const Encoder& e, Tensor dy) {
    dy = encoder_layer_backward(g, e.last, dy);
    const MergeGradients merge = merge_backward(g, e.middle, dy);
    dy = layers_backward(g, e.middle, merge.dy, merge.around);
    dy = layers_backward(g, e.trunk, dy);
    embeddings_backward(g, e.embeddings, dy);
}

/// Drops nothing.
DroppedTokens none(const Graph& g) { return {.first = g.config.layers - 1}; }

}  // namespace

void add_training_step(Graph& g, const DroppedTokens& dropped) {
    const LossRows rows = loss_rows(g, {.cls = g.options.next_sentence});
    const Encoder encoder = encoder_forward(g, rows, dropped);
    const LossHeads heads = loss_heads_forward(g, encoder.last.y, rows, PassName::main);
    record_importance(g);
    encoder_backward(g, encoder, loss_heads_backward(g, heads));
}

Program dense_step(const Parameters& parameters, const GraphOptions& options) {
    Program program(options.accumulate ? "dense step, accumulating" : "dense step");
    Graph g(program, parameters, options);
    add_training_step(g, none(g));
    return program;
}

Program evaluation(const Parameters& parameters, const GraphOptions& options) {
    Program program("evaluation");
    Graph g(program, parameters, options);
    const LossRows rows = loss_rows(g, {.cls = options.next_sentence});
    loss_heads_forward(g, encoder_forward(g, rows, none(g)).last.y, rows, PassName::main);
    return program;
}

Program hidden_states(const Parameters& parameters, const GraphOptions& options) {
    Program program("hidden states");
    Graph g(program, parameters, options);
    const int64_t t = options.batch * options.sequence, h = g.config.hidden;
    const auto keep = [&](Tensor x, int64_t i) {
        const Tensor out = program.bound("hidden/" + std::to_string(i), DType::f32, {t, h});
        ops::cast(program, "keep hidden/" + std::to_string(i), x, out);
    };
    Tensor x = embeddings_forward(g).y;
    keep(x, 0);
    for (int64_t i = 0; i < g.config.layers; ++i) keep(x = encoder_layer_forward(g, i, x, {g.lengths}).y, i + 1);
    if (!parameters.heads().mlm || options.masked == 0) return program;
    const Tensor index = program.bound("masked_positions", DType::i32, {options.batch, options.masked});
    const Tensor rows = g.activation("mlm/rows", {index.shape.size(), h});
    ops::gather_rows(program, "mlm/rows", x, index, rows);
    const Tensor logits = mlm_logits(g, rows).logits;
    ops::cast(program, "keep logits", logits, program.bound("logits", DType::f32, logits.shape));
    return program;
}

Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments, const std::optional<ImportanceOptions>& importance) {
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
    if (!importance) return program;
    const Shape ids{parameters.config().vocabulary};
    ops::importance_update(program, "importance", f32("importance_sums", ids), f32("importance_counts", ids),
                           f32("importance", ids), u.norm, importance->fixed, importance->beta);
    return program;
}

}  // namespace dropforge
