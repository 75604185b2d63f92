#include "model/bert.h"

#include <vector>

#include "model/embeddings.h"
#include "model/encoder_layer.h"
#include "model/mlm_head.h"
#include "model/nsp_head.h"

namespace dropforge {

namespace {

/// The rows that losses read, out of the last layer's output.
struct LossRows {
    Tensor queries;  // index of the last layer's query rows [B,R]
    Tensor mlm_index,
        nsp_index;  // rows of the losses among the R, only with next-sentence labels (else all R are MLM's)
};

LossRows loss_rows(Graph& g) {
    const int64_t b = g.options.batch, m = g.options.masked;
    if (!g.options.next_sentence) return {g.program.bound("masked_positions", DType::i32, {b, m}), {}, {}};
    return {g.program.bound("loss_rows", DType::i32, {b, m + 1}), g.program.bound("masked_rows", DType::i32, {b, m}),
            g.program.bound("cls_row", DType::i32, {b, 1})};
}

/// Encoder and heads, forward.
struct Forward {
    ops::Embedding embeddings;
    LossRows rows;
    std::vector<EncoderLayer> layers = {};
    MlmHead mlm = {};
    NspHead nsp = {};
};

Forward forward(Graph& g) {
    Forward f{.embeddings = embeddings_forward(g), .rows = loss_rows(g)};
    Tensor x = f.embeddings.y;
    for (int64_t i = 0; i < g.config.layers; ++i) {
        f.layers.push_back(encoder_layer_forward(g, i, x, i == g.config.layers - 1 ? f.rows.queries : Tensor{}));
        x = f.layers.back().y;
    }
    if (!g.options.next_sentence) {
        f.mlm = mlm_forward(g, x);
        return f;
    }
    const Tensor mlm_rows = g.activation("mlm/rows", {f.rows.mlm_index.shape.size(), g.config.hidden});
    ops::gather_rows(g.program, "mlm/rows", x, f.rows.mlm_index, mlm_rows);
    const Tensor nsp_rows = g.activation("nsp/rows", {f.rows.nsp_index.shape.size(), g.config.hidden});
    ops::gather_rows(g.program, "nsp/rows", x, f.rows.nsp_index, nsp_rows);
    f.mlm = mlm_forward(g, mlm_rows);
    f.nsp = nsp_forward(g, nsp_rows);
    return f;
}

/// Gradient at the last layer's output from the heads' backward passes.
Tensor heads_backward(Graph& g, const Forward& f) {
    const Tensor dmlm = mlm_backward(g, f.mlm);
    if (!g.options.next_sentence) return dmlm;
    const Tensor dnsp = nsp_backward(g, f.nsp);
    const Tensor dy = g.activation("loss_rows.gradient", f.layers.back().y.shape);
    ops::scatter_rows(g.program, "mlm/rows.backward", dmlm, f.rows.mlm_index, dy, ops::Scatter::clear_and_accumulate);
    ops::scatter_rows(g.program, "nsp/rows.backward", dnsp, f.rows.nsp_index, dy, ops::Scatter::accumulate);
    return dy;
}

}  // namespace

Program dense_step(const Parameters& parameters, const GraphOptions& options) {
    Program program(options.accumulate ? "dense step, accumulating" : "dense step");
    GraphOptions training = options;
    training.training = true;
    Graph g(program, parameters, training);
    const Forward f = forward(g);
    Tensor dy = heads_backward(g, f);
    for (auto layer = f.layers.rbegin(); layer != f.layers.rend(); ++layer) dy = encoder_layer_backward(g, *layer, dy);
    embeddings_backward(g, f.embeddings, dy);
    return program;
}

Program evaluation(const Parameters& parameters, const GraphOptions& options) {
    Program program("evaluation");
    Graph g(program, parameters, options);
    forward(g);
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
    for (int64_t i = 0; i < g.config.layers; ++i) keep(x = encoder_layer_forward(g, i, x).y, i + 1);
    if (!parameters.heads().mlm || options.masked == 0) return program;
    const Tensor index = program.bound("masked_positions", DType::i32, {options.batch, options.masked});
    const Tensor rows = g.activation("mlm/rows", {index.shape.size(), h});
    ops::gather_rows(program, "mlm/rows", x, index, rows);
    const Tensor logits = mlm_logits(g, rows).logits;
    ops::cast(program, "keep logits", logits, program.bound("logits", DType::f32, logits.shape));
    return program;
}

Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments) {
    Program program("optimizer step");
    const Shape arena{parameters.size()};
    const auto f32 = [&](const char* name, const Shape& shape) { return program.bound(name, DType::f32, shape); };
    const ops::Update u{.parameters = f32("parameters", arena),
                        .gradients = f32("gradients", arena),
                        .moment1 = f32("moment1", arena),
                        .moment2 = f32("moment2", arena),
                        .copy = dtype == DType::bf16 ? program.bound("copy", DType::bf16, arena) : Tensor{},
                        .norm = f32("gradient_norm", {1}),
                        .scalars = f32("update_scalars", {sizeof(kernels::UpdateScalars) / sizeof(float)})};
    ops::update(program, optimizer, u, segments);
    return program;
}

}  // namespace dropforge
