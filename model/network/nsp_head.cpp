#include "model/network/nsp_head.h"

namespace dropforge {

NspHead nsp_forward(Builder& builder, Tensor rows, Tensor totals) {
    const Program::Scope scope(builder.program, "nsp");
    const int64_t b = rows.shape[0];
    NspHead n{.rows = rows};
    const Tensor dense = builder.linear("pooler", rows, builder.parameters.pooler);
    n.pooled = builder.activation("pooled", dense.shape);
    ops::tanh_forward(builder.program, "tanh", dense, n.pooled);
    n.logits = builder.linear("classifier", n.pooled, builder.parameters.next_sentence);
    ops::CrossEntropy loss{.logits = n.logits,
                           .labels = builder.input("next_sentence_labels", DType::i32, {b}),
                           .loss_scale = builder.loss_scale,
                           .loss = builder.program.planned("loss", DType::f32, {b}),
                           .correct = builder.program.planned("correct", DType::f32, {b}),
                           .totals = totals,
                           .columns = 2,
                           .accumulate = builder.options.accumulate};
    if (builder.options.training) loss.gradient_scale = builder.input("nsp_scale", DType::f32, {1});
    ops::cross_entropy(builder.program, "loss", loss);
    return n;
}

Tensor nsp_backward(Builder& builder, const NspHead& n) {
    const Program::Scope scope(builder.program, "nsp");
    const Parameters& p = builder.parameters;
    const Tensor dpooled = builder.activation("pooled.gradient", n.pooled.shape);
    builder.weight_and_bias_gradient("classifier", n.logits, n.pooled, p.next_sentence);
    builder.input_gradient("classifier", n.logits, p.next_sentence, dpooled);
    const Tensor ddense = builder.activation("pooler.gradient", n.pooled.shape);
    ops::tanh_backward(builder.program, "tanh.backward", dpooled, n.pooled, ddense, builder.gradient(p.pooler.bias),
                       builder.adds(p.pooler.bias));
    const Tensor drows = builder.activation("rows.gradient", n.rows.shape);
    builder.linear_backward("pooler", ddense, n.rows, p.pooler, drows);
    return drows;
}

}  // namespace dropforge
