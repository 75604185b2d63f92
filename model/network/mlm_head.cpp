#include "model/network/mlm_head.h"

#include "model/network/names.h"

namespace dropforge {

namespace {

constexpr LossHead::Names kNames = {.head = "mlm",
                                    .scale = names::kMlmScale,
                                    .totals = {names::kMlmTotals, names::kMlmTotalsFull},
                                    .loss = {"mlm_loss", "mlm_loss_full"},
                                    .count = "mlm_count",
                                    .correct = "mlm_correct",
                                    .accuracy = "mlm_accuracy"};

constexpr const char *kTransform = "mlm/transform", *kNorm = "mlm/norm", *kDecoderWeight = "mlm/decoder/weight",
                     *kDecoderBias = "mlm/decoder/bias";

struct MlmParameters {
    Parameters::Linear transform;
    Parameters::Norm norm;
    Parameters::Linear decoder;  // weight [padded V, h]: the word table, unless tied_decoder is off

    explicit MlmParameters(const Parameters& p)
        : transform(p.linear(kTransform)),
          norm(p.norm(kNorm)),
          decoder{p.config().tied_decoder ? p.word : p.index(kDecoderWeight), p.index(kDecoderBias)} {}
};

/// What the forward pass leaves for the backward pass.
struct MlmPass {
    Tensor rows;              // [R,h] hidden states at the masked positions
    Tensor dense, gelu = {};  // [R,h]
    ops::LayerNorm norm = {};
    Tensor logits = {};  // [R, padded V]; in training overwritten by their own gradient
};

/// Of each of the decoder's three GEMMs with `rows` rows. The decoder has the word table's padded rows, zeros that
/// are computed with, since tensor cores want multiples of 8 (30 522 columns took an H100 2.4 times as long as 30 592),
/// but are no work done.
double decoder_flops(const Builder& builder, int64_t rows) {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(builder.config.hidden) *
           static_cast<double>(builder.config.vocabulary);
}

MlmPass forward_to_logits(Builder& builder, Tensor rows) {
    const MlmParameters p(builder.parameters);
    const Program::Scope scope(builder.program, kNames.head);
    const int64_t r = rows.shape[0];
    MlmPass m{.rows = rows, .dense = builder.linear("transform", rows, p.transform)};
    m.gelu = builder.activation("gelu", m.dense.shape);
    ops::gelu_forward(builder.program, "gelu", m.dense, m.gelu, builder.config.gelu);
    m.norm = {.x = m.gelu,
              .gain = builder.master(p.norm.gain),
              .bias = builder.master(p.norm.bias),
              .y = builder.activation("norm", m.gelu.shape),
              .mean = builder.program.planned("norm.mean", DType::f32, {r}),
              .rstd = builder.program.planned("norm.rstd", DType::f32, {r}),
              .rows_per_sequence = r,
              .epsilon = builder.config.epsilon};
    ops::layernorm_forward(builder.program, "norm", m.norm);
    m.logits = builder.activation("logits", {r, builder.config.padded_vocabulary()});
    ops::gemm(builder.program, "decoder",
              {.a = m.norm.y,
               .b = builder.weight(p.decoder.weight),
               .c = m.logits,
               .bias = builder.master(p.decoder.bias),
               .transpose_b = true,
               .flops = decoder_flops(builder, r)});
    return m;
}

/// Sums of the losses into `totals` f32 [3], the unreduced ones into `position_loss` f32 [R].
MlmPass mlm_forward(Builder& builder, Tensor rows, Tensor position_loss, Tensor totals) {
    MlmPass m = forward_to_logits(builder, rows);
    const int64_t r = rows.shape[0];
    const Program::Scope scope(builder.program, kNames.head);
    ops::CrossEntropy loss{.logits = m.logits,
                           .labels = builder.input(names::kMaskedLabels, DType::i32, {r}),
                           .weights = builder.input(names::kMaskedWeights, DType::f32, {r}),
                           .loss_scale = builder.loss_scale,
                           .loss = position_loss,
                           .correct = builder.program.planned("correct", DType::f32, {r}),
                           .totals = totals,
                           .columns = builder.config.vocabulary,
                           .accumulate = builder.options.accumulate};
    if (builder.options.training) loss.gradient_scale = builder.input(kNames.scale, DType::f32, {1});
    ops::cross_entropy(builder.program, "loss", loss);
    return m;
}

Tensor mlm_backward(Builder& builder, const MlmPass& m) {
    const MlmParameters p(builder.parameters);
    const Program::Scope scope(builder.program, kNames.head);
    const double flops = decoder_flops(builder, m.rows.shape[0]);
    ops::gemm(builder.program, "decoder.weight_gradient",
              {.a = m.logits,
               .b = m.norm.y,
               .c = builder.gradient(p.decoder.weight),
               .bias_gradient = builder.gradient(p.decoder.bias),
               .transpose_a = true,
               .accumulate = builder.record_write("decoder.bias", p.decoder.weight, p.decoder.bias),
               .flops = flops});
    const Tensor dnorm = builder.activation("norm.gradient", m.norm.y.shape);
    ops::gemm(builder.program, "decoder.backward",
              {.a = m.logits, .b = builder.weight(p.decoder.weight), .c = dnorm, .flops = flops});
    const Tensor dgelu = builder.activation("gelu.gradient", m.gelu.shape);
    ops::layernorm_backward(builder.program, "norm.backward", m.norm,
                            {.dy = dnorm,
                             .dz = dgelu,
                             .dx = {},
                             .dgain = builder.gradient(p.norm.gain),
                             .dbias = builder.gradient(p.norm.bias),
                             .accumulate = builder.record_write(p.norm.gain)});
    const Tensor ddense = builder.activation("transform.gradient", m.dense.shape);
    ops::gelu_backward(builder.program, "gelu.backward", dgelu, m.dense, ddense, builder.gradient(p.transform.bias), {},
                       builder.config.gelu, builder.record_write(p.transform.bias));
    const Tensor drows = builder.activation("rows.gradient", m.rows.shape);
    builder.linear_backward("transform", ddense, m.rows, p.transform, drows);
    return drows;
}

class MlmHead : public LossHead {
  public:
    const char* title() const override { return "MLM head"; }
    const char* hf_prefix() const override { return "cls.predictions."; }
    const char* architecture() const override { return "BertForMaskedLM"; }
    void add_parameters(ParameterAdder& add) const override;
    const Names& names() const override { return kNames; }
    HeadRows rows() const override { return HeadRows::masked; }
    HeadBackward forward(Builder& builder, Tensor rows, PassName pass) const override;
};

void MlmHead::add_parameters(ParameterAdder& add) const {
    const BertConfig& c = add.config();
    const std::string hf = hf_prefix();
    if (!c.tied_decoder)
        add.hf_tensor(add.add(kDecoderWeight, {c.padded_vocabulary(), c.hidden}), hf + "decoder.weight",
                      {c.vocabulary, c.hidden});
    add.hf_tensor(add.add(kDecoderBias, {c.padded_vocabulary()}), hf + (c.tied_decoder ? "bias" : "decoder.bias"),
                  {c.vocabulary});
    add.linear(kTransform, hf + "transform.dense", c.hidden, c.hidden);
    add.norm(kNorm, hf + "transform.LayerNorm");
}

HeadBackward MlmHead::forward(Builder& builder, Tensor rows, PassName pass) const {
    const Shape slots{rows.shape[0]};
    const Tensor losses = pass == PassName::main ? builder.input(names::kPositionLoss, DType::f32, slots)
                                                 : builder.program.planned("position_loss", DType::f32, slots),
                 totals = builder.input(kNames.totals_of(pass), DType::f32, {3});
    return [m = mlm_forward(builder, rows, losses, totals)](Builder& b) { return mlm_backward(b, m); };
}

}  // namespace

const LossHeadPointer& mlm_head() {
    static const LossHeadPointer head = std::make_shared<MlmHead>();
    return head;
}

Tensor mlm_logits(Builder& builder, Tensor rows) { return forward_to_logits(builder, rows).logits; }

}  // namespace dropforge
