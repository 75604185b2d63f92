#include "model/network/loss_heads.h"

namespace dropforge {

namespace {

Tensor gathered(Builder& builder, const std::string& name, Tensor y, Tensor index) {
    if (!index) return y;
    const Tensor rows = builder.activation(name, {index.shape.size(), builder.config.hidden});
    ops::gather_rows(builder.program, name, y, index, rows);
    return rows;
}

Tensor position_loss(Builder& builder, PassName name) {
    const Shape slots{builder.options.batch * builder.options.masked};
    return name == PassName::main ? builder.input("position_loss", DType::f32, slots)
                                  : builder.program.planned("position_loss", DType::f32, slots);
}

Tensor totals(Builder& builder, const std::string& head, PassName name) {
    return builder.input(head + (name == PassName::main ? "_totals" : "_totals_full"), DType::f32, {3});
}

}  // namespace

LossRows loss_rows(Builder& builder, const Readers& readers) {
    const int64_t b = builder.options.batch, m = builder.options.masked;
    const auto index = [&](const char* name, int64_t rows) { return builder.input(name, DType::i32, {b, rows}); };
    if (readers.all) return {.mlm = index("masked_positions", m), .cls = index("cls_row", 1)};
    if (!readers.cls) return {.queries = index("masked_positions", m)};
    if (!readers.mlm) return {.queries = index("cls_row", 1)};
    return {index("loss_rows", m + 1), index("masked_rows", m), index("cls_row", 1)};
}

LossHeads loss_heads_forward(Builder& builder, Tensor y, const LossRows& rows, PassName name) {
    LossHeads heads{.rows = rows, .shape = y.shape};
    heads.mlm = mlm_forward(builder, gathered(builder, "mlm/rows", y, rows.mlm), position_loss(builder, name),
                            totals(builder, "mlm", name));
    if (builder.options.next_sentence)
        heads.nsp = nsp_forward(builder, gathered(builder, "nsp/rows", y, rows.cls), totals(builder, "nsp", name));
    return heads;
}

Tensor loss_heads_backward(Builder& builder, const LossHeads& heads) {
    const Tensor dmlm = mlm_backward(builder, heads.mlm);
    if (!heads.rows.mlm) return dmlm;
    const Tensor dy = builder.activation("loss_rows.gradient", heads.shape);
    ops::scatter_rows(builder.program, "mlm/rows.backward", dmlm, heads.rows.mlm, dy,
                      ops::Scatter::clear_and_accumulate);
    if (!builder.options.next_sentence) return dy;
    const Tensor dnsp = nsp_backward(builder, heads.nsp);
    ops::scatter_rows(builder.program, "nsp/rows.backward", dnsp, heads.rows.cls, dy, ops::Scatter::accumulate);
    return dy;
}

void record_importance(Builder& builder) {
    if (!builder.options.importance) return;
    const int64_t slots = builder.options.batch * builder.options.masked, v = builder.config.vocabulary;
    ops::importance_sums(builder.program, "importance", builder.input("masked_labels", DType::i32, {slots}),
                         builder.input("masked_weights", DType::f32, {slots}),
                         builder.input("position_loss", DType::f32, {slots}),
                         builder.input("importance_sums", DType::f32, {v}),
                         builder.input("importance_counts", DType::f32, {v}), builder.options.accumulate);
}

}  // namespace dropforge
