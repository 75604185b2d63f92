// A head that is not among all_heads(): nothing but its own class is written for it to be trained.

#include <doctest/doctest.h>

#include "tests/support/finite_differences.h"
#include "tests/support/step_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

constexpr const char* kClassifier = "topic";

/// Three classes of a sequence, from its first row. The labels are those of NSP, two of the three.
class TopicHead : public LossHead {
  public:
    const char* title() const override { return "topic head"; }
    const char* hf_prefix() const override { return "topic."; }
    const char* architecture() const override { return "BertForTopics"; }
    void add_parameters(ParameterAdder& add) const override {
        add.linear(kClassifier, "topic.classifier", 3, add.config().hidden);
    }
    const Names& names() const override {
        static constexpr Names kNames = {.head = "topic",
                                         .scale = "topic_scale",
                                         .totals = {"topic_totals", "topic_totals_full"},
                                         .loss = {"topic_loss", "topic_loss_full"},
                                         .count = "topic_count",
                                         .correct = "topic_correct",
                                         .accuracy = "topic_accuracy"};
        return kNames;
    }
    HeadRows rows() const override { return HeadRows::cls; }

    HeadBackward forward(Builder& builder, Tensor rows, PassName pass) const override {
        const Program::Scope scope(builder.program, names().head);
        const Parameters::Linear classifier = builder.parameters.linear(kClassifier);
        const Shape sequences{rows.shape[0]};
        const Tensor logits = builder.linear("classifier", rows, classifier);
        ops::CrossEntropy loss{.logits = logits,
                               .labels = builder.input(names::kNextSentenceLabels, DType::i32, sequences),
                               .loss_scale = builder.loss_scale,
                               .loss = builder.program.planned("loss", DType::f32, sequences),
                               .correct = builder.program.planned("correct", DType::f32, sequences),
                               .totals = builder.input(names().totals_of(pass), DType::f32, {3}),
                               .columns = 3,
                               .accumulate = builder.options.accumulate};
        if (builder.options.training) loss.gradient_scale = builder.input(names().scale, DType::f32, {1});
        ops::cross_entropy(builder.program, "loss", loss);
        return [rows, logits, classifier](Builder& b) {
            const Program::Scope backward(b.program, "topic");
            const Tensor drows = b.activation("rows.gradient", rows.shape);
            b.weight_and_bias_gradient("classifier", logits, rows, classifier);
            b.input_gradient("classifier", logits, classifier, drows);
            return drows;
        };
    }
};

const LossHeadPointer kTopic = std::make_shared<TopicHead>();
constexpr BatchParts kParts{.lengths = true, .types = true, .next_sentence = true};

StepOptions with_heads(StepOptions options, const LossHeads& heads) {
    options.heads = heads;
    return options;
}

}  // namespace

TEST_CASE("a head of one's own has its parameters behind the encoder's, under its names") {
    const Parameters with(small_config(0), {mlm_head(), kTopic}), without(small_config(0), {mlm_head()});
    const auto added = std::ssize(with.tensors()) - std::ssize(without.tensors());
    CHECK(added == 2);
    const HfTensor& weight = with.tensors()[without.tensors().size()];
    CHECK(weight.name == "topic.classifier.weight");
    CHECK(weight.shape == Shape{3, 48});
    CHECK(weight.decay);
    CHECK(weight.head == kTopic.get());
    CHECK(with.heads().architecture() == std::string("BertForTopics"));
    CHECK_THROWS_WITH(without.linear(kClassifier), "there is no parameter topic/weight");
}

TEST_CASE("the gradient of its loss is right, alone and beside others, in a dense step and in ScTD's") {
    const data::Batch batch = random_batch(small_config(0), 4, 24, 5, kParts);
    BertConfig config = small_config(0.1f, 4);
    config.initializer_range = 0.15f;  // with 0.02 the loss of [CLS] alone hardly depends on the layers
    const Parameters parameters(config, {mlm_head(), nsp_head(), kTopic});
    const double limit = gradient_error_limit(parameters, batch);
    for (const LossHeads& heads : {LossHeads{kTopic}, LossHeads{mlm_head(), kTopic}, LossHeads{nsp_head(), kTopic}}) {
        CAPTURE(std::string(heads.front()->title()));
        ReadyStep step(parameters, with_heads(dropping_options_for(config, batch, 2, 10), heads));
        check_gradient(parameters, step, batch, StepKind::dense, limit);
        check_gradient(parameters, step, batch, kAlignStep, limit);
    }
}

TEST_CASE("a step learns what its losses reach, gives their sums by name, and leaves other heads as they are") {
    const data::Batch batch = random_batch(small_config(0), 4, 24, 5, kParts);
    const Parameters parameters(small_config(0), {mlm_head(), nsp_head(), kTopic});
    ReadyStep step(parameters, with_heads(options_for(batch, 2), {kTopic}));
    const std::vector<float> before(step.values(), step.values() + parameters.size());
    double first = 0, last = 0;
    for (int64_t i = 1; i <= 30; ++i) {
        const StepResult result = step.backward(batch, i);
        CHECK(result["topic_count"] == 4);
        CHECK(result.loss == doctest::Approx(result["topic_loss"] / 4).epsilon(1e-12));
        if (i == 1) first = result.loss;
        last = result.loss;
        step.update(i, 1e-3);
    }
    CHECK(last < 0.5 * first);
    for (const HfTensor& t : parameters.tensors()) {
        CAPTURE(t.name);
        const bool same =
            std::equal(before.begin() + t.offset, before.begin() + t.offset + t.shape.size(), step.values() + t.offset);
        CHECK(same == (t.head != nullptr && t.head != kTopic.get()));
    }
}
