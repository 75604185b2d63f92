#include "model/task_heads/task_head.h"

#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/network/pooler.h"
#include "model/task_heads/classifier.h"

namespace dropforge {

namespace {

constexpr LossHead::Names kNames = {.head = "task",
                                    .scale = names::kTaskScale,
                                    .totals = {names::kTaskTotals, names::kTaskTotalsFull},
                                    .loss = {"task_loss", "task_loss_full"},
                                    .count = "task_count",
                                    .correct = "task_correct",
                                    .accuracy = "task_accuracy"};

constexpr const char* kClassifier = "classifier";  // Hugging Face's name of all linear layers but the span head's

/// Of [CLS], after the pooler, or of every position without it.
struct TaskPass {
    std::optional<PoolerPass> pooled = {};
    ClassifierPass classifier;
};

/// What the heads share: all but the loss.
class LinearHead : public TaskHead {
  public:
    LinearHead(HeadRows rows, const char* hf, const char* architecture, int64_t columns, float dropout)
        : rows_(rows), hf_(hf), prefix_(hf_ + "."), architecture_(architecture), columns_(columns), dropout_(dropout) {}

    const char* title() const override { return "task head"; }
    const char* hf_prefix() const override { return prefix_.c_str(); }
    const char* architecture() const override { return architecture_; }
    HeadPointer base() const override { return rows() == HeadRows::cls ? pooler() : nullptr; }
    void add_parameters(ParameterAdder& add) const override { add.linear(hf_, hf_, columns_, add.config().hidden); }
    const Names& names() const override { return kNames; }
    HeadRows rows() const override { return rows_; }
    int64_t columns() const override { return columns_; }
    Tensor logits(Builder& builder, Tensor rows) const override {
        const Program::Scope scope(builder.program, kNames.head);
        return forward_to_logits(builder, rows).classifier.logits;
    }
    HeadBackward forward(Builder& builder, Tensor rows, PassName pass) const override {
        const Program::Scope scope(builder.program, kNames.head);
        const TaskPass t = forward_to_logits(builder, rows);
        add_loss(builder, t.classifier.logits, builder.input(kNames.totals_of(pass), DType::f32, {3}));
        return [t](Builder& b) {
            const Program::Scope backward(b.program, kNames.head);
            const Tensor dx = classifier_backward(b, t.classifier);
            return t.pooled ? pooler_backward(b, *t.pooled, dx) : dx;
        };
    }

  protected:
    /// Replaces the logits f32 [R,C] by the gradient of their loss, and adds that up.
    virtual void add_loss(Builder& builder, Tensor logits, Tensor totals) const = 0;

    static Tensor scale(Builder& builder) { return builder.input(kNames.scale, DType::f32, {1}); }
    static Tensor weights(Builder& builder, int64_t n) { return builder.input(names::kTaskWeights, DType::f32, {n}); }
    static Tensor planned(Builder& builder, const char* name, int64_t n) {
        return builder.program.planned(name, DType::f32, {n});
    }

  private:
    TaskPass forward_to_logits(Builder& builder, Tensor rows) const {
        if (!base()) return {.classifier = classifier_forward(builder, hf_, rows, dropout_)};
        const PoolerPass pooled = pooler_forward(builder, rows);
        return {pooled, classifier_forward(builder, hf_, pooled.y, dropout_)};
    }

    const HeadRows rows_;
    const std::string hf_, prefix_;
    const char* const architecture_;
    const int64_t columns_;
    const float dropout_;
};

/// Cross-entropy against task_labels of rows of logits, or of the `choices` rows of an item.
class CrossEntropyHead final : public LinearHead {
  public:
    CrossEntropyHead(HeadRows rows, const char* architecture, int64_t columns, int64_t choices, float dropout)
        : LinearHead(rows, kClassifier, architecture, columns, dropout), choices_(choices) {}

  protected:
    void add_loss(Builder& builder, Tensor logits, Tensor totals) const override {
        const int64_t n = logits.shape[0] / choices_, classes = choices_ * logits.shape[1];
        ops::cross_entropy(builder.program, "loss",
                           {.logits = logits.view(0, {n, classes}),
                            .labels = builder.input(names::kTaskLabels, DType::i32, {n}),
                            .weights = weights(builder, n),
                            .gradient_scale = scale(builder),
                            .loss_scale = builder.loss_scale,
                            .loss = planned(builder, "loss", n),
                            .correct = planned(builder, "correct", n),
                            .totals = totals,
                            .columns = classes,
                            .accumulate = builder.options.accumulate});
    }

  private:
    const int64_t choices_;
};

class RegressionHead final : public LinearHead {
  public:
    explicit RegressionHead(float dropout)
        : LinearHead(HeadRows::cls, kClassifier, "BertForSequenceClassification", 1, dropout) {}

  protected:
    void add_loss(Builder& builder, Tensor logits, Tensor totals) const override {
        const int64_t n = logits.shape[0];
        ops::squared_error(builder.program, "loss",
                           {.predictions = logits.view(0, {n}),
                            .labels = builder.input(names::kTaskValues, DType::f32, {n}),
                            .weights = weights(builder, n),
                            .gradient_scale = scale(builder),
                            .loss_scale = builder.loss_scale,
                            .loss = planned(builder, "loss", n),
                            .totals = totals,
                            .accumulate = builder.options.accumulate});
    }
};

class SpanHead final : public LinearHead {
  public:
    SpanHead() : LinearHead(HeadRows::all, "qa_outputs", "BertForQuestionAnswering", 2, 0) {}

  protected:
    void add_loss(Builder& builder, Tensor logits, Tensor totals) const override {
        const int64_t b = builder.options.batch;
        ops::span_loss(builder.program, "loss",
                       {.logits = logits,
                        .lengths = builder.lengths,
                        .starts = builder.input(names::kSpanStarts, DType::i32, {b}),
                        .ends = builder.input(names::kSpanEnds, DType::i32, {b}),
                        .weights = weights(builder, b),
                        .gradient_scale = scale(builder),
                        .loss_scale = builder.loss_scale,
                        .loss = planned(builder, "loss", b),
                        .totals = totals,
                        .accumulate = builder.options.accumulate});
    }
};

}  // namespace

TaskHeadPointer classifier_head(int64_t classes, float dropout) {
    return std::make_shared<CrossEntropyHead>(HeadRows::cls, "BertForSequenceClassification", classes, 1, dropout);
}

TaskHeadPointer regression_head(float dropout) { return std::make_shared<RegressionHead>(dropout); }

TaskHeadPointer choice_head(int64_t choices, float dropout) {
    return std::make_shared<CrossEntropyHead>(HeadRows::cls, "BertForMultipleChoice", 1, choices, dropout);
}

TaskHeadPointer token_head(int64_t classes, float dropout) {
    return std::make_shared<CrossEntropyHead>(HeadRows::all, "BertForTokenClassification", classes, 1, dropout);
}

TaskHeadPointer span_head() { return std::make_shared<SpanHead>(); }

Program task_logits(const Parameters& parameters, const BuildOptions& options, const TaskHead& head) {
    Program program("task logits");
    Builder builder(program, parameters, options);
    const Tensor logits = head.logits(builder, add_encoder(builder, head.rows()));
    ops::cast(program, "keep logits", logits, program.bound(names::kLogits, DType::f32, logits.shape));
    return program;
}

}  // namespace dropforge
