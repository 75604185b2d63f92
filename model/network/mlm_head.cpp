#include "model/network/mlm_head.h"

namespace dropforge {

namespace {

/// Of each of the decoder's three products with `rows` rows. The decoder has the word table's padded rows, zeros that
/// are computed with, since tensor cores want multiples of 8 (30 522 columns took an H100 2.4 times as long as 30 592),
/// but are no work done.
double decoder_flops(const Graph& g, int64_t rows) {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(g.config.hidden) *
           static_cast<double>(g.config.vocabulary);
}

}  // namespace

MlmHead mlm_logits(Graph& g, Tensor rows) {
    const Parameters& p = g.parameters;
    const Program::Scope scope(g.program, "mlm");
    const int64_t r = rows.shape[0];
    MlmHead m{.rows = rows, .dense = g.linear("transform", rows, p.transform)};
    m.gelu = g.activation("gelu", m.dense.shape);
    ops::gelu_forward(g.program, "gelu", m.dense, m.gelu, g.config.gelu);
    m.norm = {.x = m.gelu,
              .gain = g.master(p.transform_norm.gain),
              .bias = g.master(p.transform_norm.bias),
              .y = g.activation("norm", m.gelu.shape),
              .mean = g.program.planned("norm.mean", DType::f32, {r}),
              .rstd = g.program.planned("norm.rstd", DType::f32, {r}),
              .rows_per_sequence = r,
              .epsilon = g.config.epsilon};
    ops::layernorm_forward(g.program, "norm", m.norm);
    m.logits = g.activation("logits", {r, g.config.padded_vocabulary()});
    ops::gemm(g.program, "decoder",
              {.a = m.norm.y,
               .b = g.weight(p.decoder),
               .c = m.logits,
               .bias = g.master(p.decoder_bias),
               .transpose_b = true,
               .flops = decoder_flops(g, r)});
    return m;
}

MlmHead mlm_forward(Graph& g, Tensor rows, Tensor position_loss, Tensor totals) {
    MlmHead m = mlm_logits(g, rows);
    const int64_t r = rows.shape[0];
    const Program::Scope scope(g.program, "mlm");
    ops::CrossEntropy loss{.logits = m.logits,
                           .labels = g.input("masked_labels", DType::i32, {r}),
                           .weights = g.input("masked_weights", DType::f32, {r}),
                           .loss_scale = g.loss_scale,
                           .loss = position_loss,
                           .correct = g.program.planned("correct", DType::f32, {r}),
                           .totals = totals,
                           .columns = g.config.vocabulary,
                           .accumulate = g.options.accumulate};
    if (g.options.training) loss.gradient_scale = g.input("mlm_scale", DType::f32, {1});
    ops::cross_entropy(g.program, "loss", loss);
    return m;
}

Tensor mlm_backward(Graph& g, const MlmHead& m) {
    const Parameters& p = g.parameters;
    const Program::Scope scope(g.program, "mlm");
    const double flops = decoder_flops(g, m.rows.shape[0]);
    ops::gemm(g.program, "decoder.weight_gradient",
              {.a = m.logits,
               .b = m.norm.y,
               .c = g.gradient(p.decoder),
               .a_sums = g.gradient(p.decoder_bias),
               .transpose_a = true,
               .accumulate = g.adds("decoder.bias", p.decoder, p.decoder_bias),
               .flops = flops});
    const Tensor dnorm = g.activation("norm.gradient", m.norm.y.shape);
    ops::gemm(g.program, "decoder.backward", {.a = m.logits, .b = g.weight(p.decoder), .c = dnorm, .flops = flops});
    const Tensor dgelu = g.activation("gelu.gradient", m.gelu.shape);
    ops::layernorm_backward(g.program, "norm.backward", m.norm,
                            {.dy = dnorm,
                             .dz = dgelu,
                             .dx = {},
                             .dgain = g.gradient(p.transform_norm.gain),
                             .dbias = g.gradient(p.transform_norm.bias),
                             .accumulate = g.adds(p.transform_norm.gain)});
    const Tensor ddense = g.activation("transform.gradient", m.dense.shape);
    ops::gelu_backward(g.program, "gelu.backward", dgelu, m.dense, ddense, g.gradient(p.transform.bias), {},
                       g.config.gelu, g.adds(p.transform.bias));
    const Tensor drows = g.activation("rows.gradient", m.rows.shape);
    g.linear_backward("transform", ddense, m.rows, p.transform, drows);
    return drows;
}

}  // namespace dropforge
