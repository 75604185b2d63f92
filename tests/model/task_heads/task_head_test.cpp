// The heads of tasks: what their parameters are called, the rows they make the last layer compute, their gradients, and
// their logits alone.
// label: levels
#include "model/task_heads/task_head.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "finetune/evaluation/task_predictor.h"
#include "kernels/reference/loops.h"
#include "model/network/bert.h"
#include "tests/support/finite_differences.h"
#include "tests/support/made_up_task.h"

namespace dropforge {
namespace {

using namespace test;

/// With the usual initializer_range of 0.02 a loss of [CLS] alone hardly depends on the layers.
BertConfig steep_config(float dropout) {
    BertConfig config = small_config(dropout, 3);
    config.initializer_range = 0.15f;
    return config;
}

struct Tensors {
    TaskHeadPointer head;
    const char* architecture;
    std::vector<std::pair<std::string, Shape>> expected;  // behind the encoder's
};

void check_tensors(const Tensors& t) {
    CAPTURE(std::string(t.architecture));
    const Parameters with(small_config(0), {t.head}), without(small_config(0), {});
    CHECK(with.heads().architecture() == std::string(t.architecture));
    REQUIRE(with.tensors().size() == without.tensors().size() + t.expected.size());
    for (size_t i = 0; i < t.expected.size(); ++i) {
        const HfTensor& tensor = with.tensors()[without.tensors().size() + i];
        CHECK(tensor.name == t.expected[i].first);
        CHECK(tensor.shape == t.expected[i].second);
        CHECK(tensor.decay == tensor.name.ends_with("weight"));
    }
}

/// FLOPs of one sequence of S tokens whose last layer computes `rows` (docs/algorithms.md, "FLOPs"), and of a head with
/// `columns` logits a row.
double forward_flops(const BertConfig& c, double s, double rows, double columns, bool pooled) {
    const auto h = static_cast<double>(c.hidden), f = static_cast<double>(c.intermediate);
    const auto layer = [&](double queries) {
        return queries * (4 * h * h + 4 * h * f) + s * 4 * h * h + 4 * queries * s * h;
    };
    const double head = rows * 2 * h * columns + (pooled ? rows * 2 * h * h : 0);
    return static_cast<double>(c.layers - 1) * layer(s) + layer(rows) + head;
}

/// The gradients of one step over all items.
std::vector<float> gradients_of(const Parameters& parameters, const MadeUpTask& task, DType dtype,
                                const kernels::KernelTable& table) {
    TaskStepOptions options = task.step_options(parameters, 3);
    options.dtype = dtype;
    ReadyTaskStep step(parameters, task, options, table);
    step.backward(5);
    return step.gradients();
}

TEST_CASE("parameters have the names and shapes of Hugging Face's classes") {
    const std::pair<std::string, Shape> pooler_weight{"bert.pooler.dense.weight", {48, 48}},
        pooler_bias{"bert.pooler.dense.bias", {48}};
    const auto classifier = [&](int64_t columns) {
        return std::vector{pooler_weight, pooler_bias,
                           std::pair<std::string, Shape>{"classifier.weight", {columns, 48}},
                           std::pair<std::string, Shape>{"classifier.bias", {columns}}};
    };
    check_tensors({classifier_head(5, 0), "BertForSequenceClassification", classifier(5)});
    check_tensors({regression_head(0), "BertForSequenceClassification", classifier(1)});
    check_tensors({choice_head(4, 0), "BertForMultipleChoice", classifier(1)});
    check_tensors(
        {token_head(9, 0), "BertForTokenClassification", {{"classifier.weight", {9, 48}}, {"classifier.bias", {9}}}});
    check_tensors(
        {span_head(), "BertForQuestionAnswering", {{"qa_outputs.weight", {2, 48}}, {"qa_outputs.bias", {2}}}});
}

TEST_CASE("the last layer computes only the rows that a head reads, in training and for logits alone") {
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name);
        const Parameters parameters(small_config(0), {task.head});
        const bool all = task.head->rows() == HeadRows::all;
        CHECK(all == (task.data.task.kind == tasks::Kind::token || task.data.task.kind == tasks::Kind::span));
        const BuildOptions logits{.batch = 6, .sequence = 24, .types = true, .lengths = true, .heads = {task.head}};
        BuildOptions training = logits;
        training.training = true;
        const double forward =
            6 * forward_flops(parameters.config(), 24, all ? 24 : 1, static_cast<double>(task.head->columns()), !all);
        CHECK(task_logits(parameters, logits, *task.head).flops() == forward);
        CHECK(dense_step(parameters, training).flops() == 3 * forward);
    }
}

TEST_CASE("gradients are right: class weights, what has no label, a micro-batch that is not full, dropout") {
    const BertConfig config = steep_config(0.1f);
    const double limit = gradient_error_limit(Parameters(config, {mlm_head()}), random_batch(config, 4, 24, 5));
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name, 0.1f);
        const Parameters parameters(config, {task.head});
        ReadyTaskStep step(parameters, task, task.step_options(parameters, 3));
        const Differentiated differentiated{step.states().values(), step.states().gradients(),
                                            [&step] { return step.backward(5); }};
        const bool choice = task.data.task.kind == tasks::Kind::choice, span = task.data.task.kind == tasks::Kind::span;
        // A softmax over rows does not see what all of them share.
        check_gradient({parameters, differentiated}, limit, choice ? "classifier.bias" : span ? "qa_outputs.bias" : "");
    }
}

TEST_CASE("bf16 gradients are as near to the double reference as those of a straightforward implementation") {
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name, 0.1f);
        const Parameters parameters(steep_config(0.1f), {task.head});
        const auto truth = gradients_of(parameters, task, DType::f32, kernels::reference()),
                   plain = gradients_of(parameters, task, DType::bf16, kernels::straightforward()),
                   got = gradients_of(parameters, task, DType::bf16, kernels::cpu());
        for (const HfTensor& t : parameters.tensors()) {
            CAPTURE(t.name);
            const double error = difference(t, got, truth), limit = 2 * difference(t, plain, truth) + 0x1p-24;
            const bool near = error <= limit;
            CHECK_MESSAGE(near, error << " > " << limit);
        }
    }
}

TEST_CASE("logits alone are those of the training pass: the loss that they give is the step's") {
    for (const char* name : {"single", "regression", "choice", "token"}) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name);
        const Parameters parameters(steep_config(0), {task.head});
        ReadyTaskStep step(parameters, task, task.step_options(parameters, 3));
        const double loss = step.backward(1);
        TaskPredictor predictor(parameters, task.head,
                                {.batch = 4,
                                 .sequences = sequences_per_item(task.data),
                                 .max_length = MadeUpTask::kLongest,
                                 .pad = kSpecial.pad},
                                step.states().values(), kernels::cpu());
        TaskData data = task.data;
        if (!task.class_weights.empty()) data.labels = {"x", "y", "z"};
        if (data.task.kind == tasks::Kind::token)
            for (tasks::Example& example : data.file.examples) example.words.resize(example.classes.size());
        if (data.task.kind == tasks::Kind::choice)
            for (tasks::Example& example : data.file.examples) example.choices.resize(2);
        const TaskEvaluation evaluation = evaluate(data, predictor.run(data), {.class_weights = task.class_weights});
        // f32 logits of a few units, each the end of sums over h=48 in another order.
        CHECK(evaluation.loss.value() == doctest::Approx(loss).epsilon(48 * 0x1p-24));
    }
}

}  // namespace
}  // namespace dropforge
