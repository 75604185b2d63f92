#include "model/network/nsp_head.h"

namespace dropforge {

NspHead nsp_forward(Graph& g, Tensor rows, Tensor totals) {
    const Program::Scope scope(g.program, "nsp");
    const int64_t b = rows.shape[0];
    NspHead n{.rows = rows};
    const Tensor dense = g.linear("pooler", rows, g.parameters.pooler);
    n.pooled = g.activation("pooled", dense.shape);
    ops::tanh_forward(g.program, "tanh", dense, n.pooled);
    n.logits = g.linear("classifier", n.pooled, g.parameters.next_sentence);
    ops::CrossEntropy loss{.logits = n.logits,
                           .labels = g.input("next_sentence_labels", DType::i32, {b}),
                           .loss_scale = g.loss_scale,
                           .loss = g.program.planned("loss", DType::f32, {b}),
                           .correct = g.program.planned("correct", DType::f32, {b}),
                           .totals = totals,
                           .columns = 2,
                           .accumulate = g.options.accumulate};
    if (g.options.training) loss.gradient_scale = g.input("nsp_scale", DType::f32, {1});
    ops::cross_entropy(g.program, "loss", loss);
    return n;
}

Tensor nsp_backward(Graph& g, const NspHead& n) {
    const Program::Scope scope(g.program, "nsp");
    const Parameters& p = g.parameters;
    const Tensor dpooled = g.activation("pooled.gradient", n.pooled.shape);
    g.weight_and_bias_gradient("classifier", n.logits, n.pooled, p.next_sentence);
    g.input_gradient("classifier", n.logits, p.next_sentence, dpooled);
    const Tensor ddense = g.activation("pooler.gradient", n.pooled.shape);
    ops::tanh_backward(g.program, "tanh.backward", dpooled, n.pooled, ddense, g.gradient(p.pooler.bias),
                       g.adds(p.pooler.bias));
    const Tensor drows = g.activation("rows.gradient", n.rows.shape);
    g.linear_backward("pooler", ddense, n.rows, p.pooler, drows);
    return drows;
}

}  // namespace dropforge
