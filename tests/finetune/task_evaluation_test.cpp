// From logits to predictions, losses, metrics and files: those that another implementation made of golden runs, and odd
// cases by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "data/tasks/metrics/predictions.h"
#include "finetune/evaluation/evaluation_files.h"
#include "tests/support/golden_task.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using namespace dropforge::tasks;
using namespace dropforge::test;

namespace {

using Ids = std::vector<int32_t>;
using Json = nlohmann::json;

TaskData data_of(const GoldenTask& golden) {
    return {
        .task = resolve(golden.task, golden.file), .labels = golden.labels, .file = golden.file, .items = golden.items};
}

/// The golden logits, some less a constant which all of a softmax share: it changes neither predictions nor loss.
std::vector<float> golden_logits(const GoldenTask& golden, const std::string& name) {
    return tensor<float>(golden.tensors, golden.tensors.has(name) ? name : name + "#centred");
}

TaskLogits logits_of(const GoldenTask& golden) {
    if (golden.task.kind != Kind::span) return {.logits = golden_logits(golden, "logits")};
    return {.start = golden_logits(golden, "start_logits"), .end = golden_logits(golden, "end_logits")};
}

/// Predictions as the golden facts have them; null for numbers.
Json shown(const TaskData& data, const Predictions& predictions) {
    if (data.task.kind == Kind::regression) return {};
    if (data.task.kind == Kind::span) return predictions.answers;
    if (data.task.kind != Kind::token) return predictions.classes;
    Json sentences = Json::array();
    for (const Ids& tags : predictions.tags) {
        Json& sentence = sentences.emplace_back(Json::array());
        for (const int32_t tag : tags) sentence.push_back(data.labels[static_cast<size_t>(tag)]);
    }
    return sentences;
}

void check_metrics(const Metrics& metrics, const Json& expected, const Json& limits) {
    CHECK(metrics.size() == expected.size());
    for (const auto& [name, value] : metrics) {
        const std::string of = name;
        CAPTURE(of);
        CHECK(std::abs(value.value() - expected.at(name).get<double>()) <= limits.at(name).get<double>());
    }
}

/// Two labels, one item for each example, single.
TaskData single(const std::vector<int32_t>& classes, const std::vector<std::string>& labels) {
    TaskData data{.task = find_task("single"), .labels = labels};
    for (const int32_t gold : classes) {
        data.items.items.push_back({.example = data.file.examples.size(), .sequences = {{.ids = {2, 3}, .second = 2}}});
        data.file.examples.push_back({.classes = {gold}});
    }
    return data;
}

std::string written(const TaskData& data, const TaskEvaluation& evaluation, const std::string& name) {
    const TemporaryFolder folder;
    write_predictions(folder.path(), data, evaluation);
    return read_text(folder / name);
}

}  // namespace

TEST_CASE("golden: predictions and metrics from the logits of the kept epoch") {
    for (const auto& [name, run] : {std::pair("single", "main"),
                                    {"single", "weights"},
                                    {"mrpc", "main"},
                                    {"stsb", "main"},
                                    {"copa", "best"},
                                    {"token", "main"},
                                    {"squad2", "main"}}) {
        const std::string of = std::string(name) + " " + run;
        CAPTURE(of);
        const GoldenTask golden(name, run);
        const TaskData data = data_of(golden);
        const TaskEvaluation evaluation = evaluate(data, logits_of(golden), {});
        const auto best = golden.facts.at("best_epoch").get<size_t>();
        CHECK(shown(data, evaluation.predictions) == golden.facts.at("predictions"));
        check_metrics(evaluation.metrics, golden.facts.at("epochs")[best - 1], golden.facts.at("metric_limits"));
        CHECK(evaluation.main == main_metric(data.task, evaluation.metrics));
    }
}

TEST_CASE("golden: the loss of the file") {
    for (const auto& [name, run] : {std::pair("single", "main"),
                                    {"single", "weights"},
                                    {"mrpc", "main"},
                                    {"stsb", "main"},
                                    {"copa", "best"},
                                    {"token", "main"}}) {
        const std::string of = std::string(name) + " " + run;
        CAPTURE(of);
        const GoldenTask golden(name, run);
        const TaskLogits logits = logits_of(golden);
        ScoringOptions options;
        if (run == std::string("weights")) options.class_weights = {0.5, 1, 2};
        const TaskEvaluation evaluation = evaluate(data_of(golden), logits, options);
        const auto losses = tensor<float>(golden.tensors, "eval_loss");
        const double expected = losses[golden.facts.at("best_epoch").get<size_t>() - 1];
        // Logits and loss were rounded to f32 (half an ulp: 2^-24). Cross-entropy moves by at most twice what a logit
        // does; (logit − label)², whose difference is below 8 here, by 16 times.
        double largest = 0;
        for (const float logit : logits.logits) largest = std::max(largest, std::abs(static_cast<double>(logit)));
        const double slope = golden.task.kind == Kind::regression ? 16 : 2;
        CHECK(std::abs(evaluation.loss.value() - expected) <= 0x1p-24 * (slope * largest + expected));
    }
    const GoldenTask spans("squad2", "main");
    CHECK_FALSE(evaluate(data_of(spans), logits_of(spans), {}).loss.has_value());
}

TEST_CASE("golden: the files read back as what was predicted, and are worth the same") {
    for (const auto& [name, run, file] : {std::tuple("single", "main", "predictions.tsv"),
                                          {"stsb", "main", "predictions.tsv"},
                                          {"copa", "best", "predictions.tsv"},
                                          {"token", "main", "predictions.conll"},
                                          {"squad2", "main", "answers.json"}}) {
        const std::string of = name;
        CAPTURE(of);
        const GoldenTask golden(name, run);
        const TaskData data = data_of(golden);
        const TaskEvaluation evaluation = evaluate(data, logits_of(golden), {.null_threshold = 0.5});
        const TemporaryFolder folder;
        write_predictions(folder.path(), data, evaluation);
        ExampleFile read = read_predictions(data.task, folder / file, data.file);
        index_labels(data.task, data.labels, read);
        NoAnswer no_answer;
        if (evaluation.null) no_answer = {read_null_odds(folder / "null_odds.json", data.file), 0.5};
        CHECK(measure(data.task, data.labels, data.file.examples, predictions_of(data.task, read), no_answer) ==
              evaluation.metrics);
        if (!evaluation.null) continue;
        CHECK(no_answer.null->odds == evaluation.null->odds);
        CHECK(no_answer.null->order == evaluation.null->order);
        const Json answers = Json::parse(read_text(folder / "predictions.json"));
        for (size_t i = 0; i < data.file.examples.size(); ++i) {
            const std::string predicted = answers.at(data.file.examples[i].id);
            CHECK(predicted == (evaluation.null->odds[i] > 0.5 ? "" : evaluation.best_answers[i]));
        }
    }
}

TEST_CASE("golden: the sequences and logits that are written") {
    for (const auto& [name, run] : {std::pair("stsb", "main"), {"copa", "best"}, {"token", "main"}}) {
        const std::string of = name;
        CAPTURE(of);
        const GoldenTask golden(name, run);
        const TemporaryFolder folder;
        write_logits(folder / "eval.safetensors", data_of(golden), logits_of(golden));
        const SafetensorsFile file(folder / "eval.safetensors");
        CHECK(file.tensors().size() == 4);
        for (const std::string tensor_name : {"input_ids", "token_type_ids", "lengths"}) {
            CHECK(file.info(tensor_name).dtype == "I32");
            CHECK(tensor<int32_t>(file, tensor_name) == tensor<int32_t>(golden.tensors, tensor_name));
        }
        CHECK(file.info("logits").shape ==
              golden.tensors.info(golden.tensors.has("logits") ? "logits" : "logits#centred").shape);
        CHECK(tensor<float>(file, "logits") == golden_logits(golden, "logits"));
    }
    const GoldenTask spans("squad2", "main");
    const TaskLogits logits = logits_of(spans);
    const TemporaryFolder folder;
    write_logits(folder / "eval.safetensors", data_of(spans), logits);
    const SafetensorsFile file(folder / "eval.safetensors");
    CHECK(file.tensors().size() == 5);
    CHECK(tensor<float>(file, "start_logits") == logits.start);
    CHECK(tensor<float>(file, "end_logits") == logits.end);
}

TEST_CASE("classes: the lowest of equal logits; a loss with weights") {
    const TaskData data = single({0, 1, 1}, {"x", "y"});
    const TaskLogits logits{.logits = {1, 1, 0, 2, 3, 0}};
    const TaskEvaluation evaluation = evaluate(data, logits, {.class_weights = {1, 3}});
    CHECK(evaluation.predictions.classes == Ids{0, 1, 0});
    const double first = std::log(2.0), second = std::log1p(std::exp(-2.0)), third = std::log1p(std::exp(3.0));
    CHECK(evaluation.loss.value() == doctest::Approx((first + 3 * second + 3 * third) / 7).epsilon(1e-14));
    CHECK(evaluate(data, logits, {}).loss.value() == doctest::Approx((first + second + third) / 3).epsilon(1e-14));
    CHECK(written(data, evaluation, "predictions.tsv") == "index\tprediction\n0\tx\n1\ty\n2\tx\n");
}

TEST_CASE("classes: one example, a class that no example has, logits too large for exp") {
    const TaskEvaluation evaluation =
        evaluate(single({0}, {"x", "y", "z"}), {.logits = {1000, -1000, 0}}, {.class_weights = {5, 1, 1}});
    CHECK(evaluation.loss == 0.0);
    CHECK(evaluation.predictions.classes == Ids{0});
    CHECK(evaluate(single({1}, {"x", "y"}), {.logits = {1000, -1000}}, {}).loss == 2000.0);
}

TEST_CASE("numbers: written so that they read back exactly; not defined where a side is constant") {
    TaskData data{.task = find_task("regression")};
    data.file.examples = {{.value = 1}};
    const TaskEvaluation evaluation = evaluate(data, {.logits = {0.3f}}, {});
    CHECK(written(data, evaluation, "predictions.tsv") == "index\tprediction\n0\t0.30000001192092896\n");
    CHECK(evaluation.loss == std::pow(static_cast<double>(0.3f) - 1, 2));
    CHECK_FALSE(evaluation.main.has_value());
}

TEST_CASE("words without a piece are O, or the first label; their loss does not count") {
    TaskData data{.task = find_task("token"), .labels = {"B-x", "O"}};
    data.file.examples = {{.classes = {0, 1, 0}, .words = {"a", "\u200b", "b"}}, {.classes = {0}, .words = {"\u200b"}}};
    const Sequence sequence{.ids = {2, 5, 6, 3}, .second = 4}, empty{.ids = {2, 3}, .second = 2};
    data.items.items = {{.example = 0, .sequences = {sequence}, .words = {0, 2}, .positions = {1, 2}},
                        {.example = 1, .sequences = {empty}}};
    const TaskLogits logits{.logits = {2, 0, 0, 0}};
    const TaskEvaluation evaluation = evaluate(data, logits, {});
    CHECK(evaluation.predictions.tags == std::vector<Ids>{{0, 1, 0}, {1}});
    CHECK(evaluation.loss.value() == doctest::Approx((std::log1p(std::exp(-2.0)) + std::log(2.0)) / 2).epsilon(1e-14));
    CHECK(written(data, evaluation, "predictions.conll") == "a B-x B-x\n\u200b O O\nb B-x B-x\n\n\u200b B-x O\n\n");
    data.labels = {"B-x", "I-x"};
    CHECK(evaluate(data, logits, {}).predictions.tags == std::vector<Ids>{{0, 0, 0}, {0}});
    data.items.items = {{.example = 0, .sequences = {empty}}, {.example = 1, .sequences = {empty}}};
    CHECK(evaluate(data, {}, {}).loss == 0.0);
    const TemporaryFolder folder;
    write_logits(folder / "eval.safetensors", data, {});
    CHECK(SafetensorsFile(folder / "eval.safetensors").info("logits").shape == std::vector<int64_t>{0, 2});
}

TEST_CASE("spans: a context without a piece, the threshold, and version 1.1, where every question has an answer") {
    TaskData data{.task = find_task("squad2")};
    data.file.examples = {{.b = "", .id = "empty"}, {.b = "a b", .id = "\"two\"", .answers = {{"b", 2}}}};
    const Sequence sequence{.ids = {2, 5, 3, 6, 7, 3}, .second = 3}, empty{.ids = {2, 5, 3, 3}, .second = 3};
    data.items.items = {{.example = 0, .sequences = {empty}, .context = 3},
                        {.example = 1, .sequences = {sequence}, .context = 3, .places = {{0, 1}, {2, 3}}}};
    const TaskLogits logits{.start = {-1, 0, 0, 0, 1, 0, 0, 0, 3, 0}, .end = {-2, 0, 0, 0, 2, 0, 0, 0, 1, 0}};
    const TaskEvaluation evaluation = evaluate(data, logits, {.null_threshold = -1});
    CHECK(evaluation.null->odds == std::vector<double>{-3, -1});
    CHECK(evaluation.predictions.answers == std::vector<std::string>{"", "b"});  // odds of −1 are not above −1
    CHECK(written(data, evaluation, "null_odds.json") == "{\n \"empty\": -3.0,\n \"\\\"two\\\"\": -1.0\n}\n");
    CHECK(written(data, evaluation, "answers.json") == "{\n \"empty\": \"\",\n \"\\\"two\\\"\": \"b\"\n}\n");
    CHECK(evaluation.main == 1.0);
    const TaskEvaluation strict = evaluate(data, logits, {.null_threshold = -2});
    CHECK(strict.predictions.answers == std::vector<std::string>{"", ""});
    CHECK(strict.best_answers == std::vector<std::string>{"", "b"});
    CHECK(strict.main == 0.5);
    const TaskData first{.task = find_task("squad"), .file = data.file, .items = data.items};
    CHECK(evaluate(first, logits, {.null_threshold = -2}).predictions.answers == std::vector<std::string>{"", "b"});
    CHECK_FALSE(evaluate(first, logits, {}).null.has_value());
}
