// Next-sentence prediction: pooler over [CLS], two-way classifier, cross-entropy (Devlin et al. 2019, section 3.1).

#include "model/network/builder.h"
#include "model/network/names.h"
#include "model/network/pooler.h"

namespace dropforge {

namespace {

constexpr const char* kClassifier = "next_sentence";

constexpr LossHead::Names kNames = {.head = "nsp",
                                    .scale = names::kNspScale,
                                    .totals = {names::kNspTotals, names::kNspTotalsFull},
                                    .loss = {"nsp_loss", "nsp_loss_full"},
                                    .count = "nsp_count",
                                    .correct = "nsp_correct",
                                    .accuracy = "nsp_accuracy"};

/// What the forward pass leaves for the backward pass.
struct Classified {
    PoolerPass pooled;
    Tensor logits = {};  // [B,2]; in training overwritten by their own gradient
};

Classified nsp_forward(Builder& builder, Tensor rows, Tensor totals) {
    const Program::Scope scope(builder.program, kNames.head);
    const int64_t b = rows.shape[0];
    Classified c{.pooled = pooler_forward(builder, rows)};
    const auto result = [&](const char* name, const char* bound) {
        return builder.options.training ? builder.program.planned(name, DType::f32, {b})
                                        : builder.input(bound, DType::f32, {b});
    };
    c.logits = builder.linear("classifier", c.pooled.y, builder.parameters.linear(kClassifier));
    ops::CrossEntropy loss{.logits = c.logits,
                           .labels = builder.input(names::kNextSentenceLabels, DType::i32, {b}),
                           .loss_scale = builder.loss_scale,
                           .loss = result("loss", names::kSequenceLoss),
                           .correct = result("correct", names::kSequenceCorrect),
                           .totals = totals,
                           .columns = 2,
                           .accumulate = builder.options.accumulate};
    if (builder.options.training) loss.gradient_scale = builder.input(kNames.scale, DType::f32, {1});
    ops::cross_entropy(builder.program, "loss", loss);
    return c;
}

Tensor nsp_backward(Builder& builder, const Classified& c) {
    const Program::Scope scope(builder.program, kNames.head);
    const Parameters::Linear classifier = builder.parameters.linear(kClassifier);
    const Tensor dpooled = builder.activation("pooled.gradient", c.pooled.y.shape);
    builder.weight_and_bias_gradient("classifier", c.logits, c.pooled.y, classifier);
    builder.input_gradient("classifier", c.logits, classifier, dpooled);
    return pooler_backward(builder, c.pooled, dpooled);
}

class NspHead : public LossHead {
  public:
    const char* title() const override { return "NSP head"; }
    const char* hf_prefix() const override { return "cls.seq_relationship."; }
    const char* architecture() const override { return "BertForNextSentencePrediction"; }
    HeadPointer base() const override { return pooler(); }
    void add_parameters(ParameterAdder& add) const override {
        add.linear(kClassifier, "cls.seq_relationship", 2, add.config().hidden);
    }
    const Names& names() const override { return kNames; }
    HeadRows rows() const override { return HeadRows::cls; }
    HeadBackward forward(Builder& builder, Tensor rows, PassName pass) const override {
        const Tensor totals = builder.input(kNames.totals_of(pass), DType::f32, {3});
        return [c = nsp_forward(builder, rows, totals)](Builder& b) { return nsp_backward(b, c); };
    }
};

}  // namespace

const LossHeadPointer& nsp_head() {
    static const LossHeadPointer head = std::make_shared<NspHead>();
    return head;
}

}  // namespace dropforge
