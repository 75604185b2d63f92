#include "model/network/mlm_head.h"

namespace dropforge {

namespace {

/// Of each of the decoder's three products with `rows` rows. The decoder has the word table's padded rows, zeros that
/// are computed with, since tensor cores want multiples of 8 (30 522 columns took an H100 2.4 times as long as 30 592),
/// but are no work done.
double decoder_flops(const Builder& builder, int64_t rows) {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(builder.config.hidden) *
           static_cast<double>(builder.config.vocabulary);
}

}  // namespace

MlmHead mlm_logits(Builder& builder, Tensor rows) {
    const Parameters& p = builder.parameters;
    const Program::Scope scope(builder.program, "mlm");
    const int64_t r = rows.shape[0];
    MlmHead m{.rows = rows, .dense = builder.linear("transform", rows, p.transform)};
    m.gelu = builder.activation("gelu", m.dense.shape);
    ops::gelu_forward(builder.program, "gelu", m.dense, m.gelu, builder.config.gelu);
    m.norm = {.x = m.gelu,
              .gain = builder.master(p.transform_norm.gain),
              .bias = builder.master(p.transform_norm.bias),
              .y = builder.activation("norm", m.gelu.shape),
              .mean = builder.program.planned("norm.mean", DType::f32, {r}),
              .rstd = builder.program.planned("norm.rstd", DType::f32, {r}),
              .rows_per_sequence = r,
              .epsilon = builder.config.epsilon};
    ops::layernorm_forward(builder.program, "norm", m.norm);
    m.logits = builder.activation("logits", {r, builder.config.padded_vocabulary()});
    ops::gemm(builder.program, "decoder",
              {.a = m.norm.y,
               .b = builder.weight(p.decoder),
               .c = m.logits,
               .bias = builder.master(p.decoder_bias),
               .transpose_b = true,
               .flops = decoder_flops(builder, r)});
    return m;
}

MlmHead mlm_forward(Builder& builder, Tensor rows, Tensor position_loss, Tensor totals) {
    MlmHead m = mlm_logits(builder, rows);
    const int64_t r = rows.shape[0];
    const Program::Scope scope(builder.program, "mlm");
    ops::CrossEntropy loss{.logits = m.logits,
                           .labels = builder.input("masked_labels", DType::i32, {r}),
                           .weights = builder.input("masked_weights", DType::f32, {r}),
                           .loss_scale = builder.loss_scale,
                           .loss = position_loss,
                           .correct = builder.program.planned("correct", DType::f32, {r}),
                           .totals = totals,
                           .columns = builder.config.vocabulary,
                           .accumulate = builder.options.accumulate};
    if (builder.options.training) loss.gradient_scale = builder.input("mlm_scale", DType::f32, {1});
    ops::cross_entropy(builder.program, "loss", loss);
    return m;
}

Tensor mlm_backward(Builder& builder, const MlmHead& m) {
    const Parameters& p = builder.parameters;
    const Program::Scope scope(builder.program, "mlm");
    const double flops = decoder_flops(builder, m.rows.shape[0]);
    ops::gemm(builder.program, "decoder.weight_gradient",
              {.a = m.logits,
               .b = m.norm.y,
               .c = builder.gradient(p.decoder),
               .a_sums = builder.gradient(p.decoder_bias),
               .transpose_a = true,
               .accumulate = builder.adds("decoder.bias", p.decoder, p.decoder_bias),
               .flops = flops});
    const Tensor dnorm = builder.activation("norm.gradient", m.norm.y.shape);
    ops::gemm(builder.program, "decoder.backward",
              {.a = m.logits, .b = builder.weight(p.decoder), .c = dnorm, .flops = flops});
    const Tensor dgelu = builder.activation("gelu.gradient", m.gelu.shape);
    ops::layernorm_backward(builder.program, "norm.backward", m.norm,
                            {.dy = dnorm,
                             .dz = dgelu,
                             .dx = {},
                             .dgain = builder.gradient(p.transform_norm.gain),
                             .dbias = builder.gradient(p.transform_norm.bias),
                             .accumulate = builder.adds(p.transform_norm.gain)});
    const Tensor ddense = builder.activation("transform.gradient", m.dense.shape);
    ops::gelu_backward(builder.program, "gelu.backward", dgelu, m.dense, ddense, builder.gradient(p.transform.bias), {},
                       builder.config.gelu, builder.adds(p.transform.bias));
    const Tensor drows = builder.activation("rows.gradient", m.rows.shape);
    builder.linear_backward("transform", ddense, m.rows, p.transform, drows);
    return drows;
}

}  // namespace dropforge
