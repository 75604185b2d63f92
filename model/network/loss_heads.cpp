#include "model/network/loss_heads.h"

namespace dropforge {

namespace {

Tensor gathered(Graph& g, const std::string& name, Tensor y, Tensor index) {
    if (!index) return y;
    const Tensor rows = g.activation(name, {index.shape.size(), g.config.hidden});
    ops::gather_rows(g.program, name, y, index, rows);
    return rows;
}

Tensor position_loss(Graph& g, PassName name) {
    const Shape slots{g.options.batch * g.options.masked};
    return name == PassName::main ? g.input("position_loss", DType::f32, slots)
                                  : g.program.planned("position_loss", DType::f32, slots);
}

Tensor totals(Graph& g, const std::string& head, PassName name) {
    return g.input(head + (name == PassName::main ? "_totals" : "_totals_full"), DType::f32, {3});
}

}  // namespace

LossRows loss_rows(Graph& g, const Readers& readers) {
    const int64_t b = g.options.batch, m = g.options.masked;
    const auto index = [&](const char* name, int64_t rows) { return g.input(name, DType::i32, {b, rows}); };
    if (readers.all) return {.mlm = index("masked_positions", m), .cls = index("cls_row", 1)};
    if (!readers.cls) return {.queries = index("masked_positions", m)};
    if (!readers.mlm) return {.queries = index("cls_row", 1)};
    return {index("loss_rows", m + 1), index("masked_rows", m), index("cls_row", 1)};
}

LossHeads loss_heads_forward(Graph& g, Tensor y, const LossRows& rows, PassName name) {
    LossHeads heads{.rows = rows, .shape = y.shape};
    heads.mlm = mlm_forward(g, gathered(g, "mlm/rows", y, rows.mlm), position_loss(g, name), totals(g, "mlm", name));
    if (g.options.next_sentence)
        heads.nsp = nsp_forward(g, gathered(g, "nsp/rows", y, rows.cls), totals(g, "nsp", name));
    return heads;
}

Tensor loss_heads_backward(Graph& g, const LossHeads& heads) {
    const Tensor dmlm = mlm_backward(g, heads.mlm);
    if (!heads.rows.mlm) return dmlm;
    const Tensor dy = g.activation("loss_rows.gradient", heads.shape);
    ops::scatter_rows(g.program, "mlm/rows.backward", dmlm, heads.rows.mlm, dy, ops::Scatter::clear_and_accumulate);
    if (!g.options.next_sentence) return dy;
    const Tensor dnsp = nsp_backward(g, heads.nsp);
    ops::scatter_rows(g.program, "nsp/rows.backward", dnsp, heads.rows.cls, dy, ops::Scatter::accumulate);
    return dy;
}

void record_importance(Graph& g) {
    if (!g.options.importance) return;
    const int64_t slots = g.options.batch * g.options.masked, v = g.config.vocabulary;
    ops::importance_sums(g.program, "importance", g.input("masked_labels", DType::i32, {slots}),
                         g.input("masked_weights", DType::f32, {slots}), g.input("position_loss", DType::f32, {slots}),
                         g.input("importance_sums", DType::f32, {v}), g.input("importance_counts", DType::f32, {v}),
                         g.options.accumulate);
}

}  // namespace dropforge
