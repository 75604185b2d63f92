// Metrics of tasks: values worked out by hand, where definitions differ from each other. (Values of other
// implementations on random predictions are in score_cli_test.)
#include <doctest/doctest.h>

#include "data/tasks/metrics/answers.h"
#include "data/tasks/metrics/classes.h"
#include "data/tasks/metrics/correlation.h"
#include "data/tasks/metrics/entities.h"
#include "data/tasks/metrics/metrics.h"

using namespace dropforge::tasks;

namespace {

using Ids = std::vector<int32_t>;
using Values = std::vector<double>;
using Words = std::vector<std::string>;

/// Numbers that differ from `value`, which is at most 1, by rounding only. What is measured here takes at most 100
/// operations, none of a result much smaller than its operands, each of which rounds by 2^-53 at most; `value` itself
/// is written with 15 digits.
doctest::Approx rounded(double value) { return doctest::Approx(value).epsilon(100 * 0x1p-53); }

std::optional<double> value_of(const Metrics& metrics, const std::string& name) {
    for (const auto& [key, value] : metrics)
        if (key == name) return value;
    FAIL("no metric " << name);
    return {};
}

bool has(const Metrics& metrics, const std::string& name) {
    for (const auto& metric : metrics)
        if (metric.first == name) return true;
    return false;
}

Example of_class(int32_t label, const std::string& group = {}) { return {.classes = {label}, .group = group}; }

Example question(const Words& gold) {
    Example example;
    for (const std::string& text : gold) example.answers.push_back({text, 0});
    return example;
}

std::vector<std::string> types_of(const Words& tags) {
    std::vector<std::string> types;
    for (const Entity& entity : entities_of(tags))
        types.push_back(entity.type + std::to_string(entity.begin) + std::to_string(entity.end));
    return types;
}

}  // namespace

TEST_CASE("classes: two classes, by hand") {
    const Ids gold = {1, 1, 1, 0, 0}, predicted = {1, 0, 1, 1, 0};
    CHECK(accuracy(gold, predicted) == rounded(0.6));
    CHECK(class_f1(gold, predicted, 1) == rounded(2.0 / 3));
    CHECK(macro_f1(gold, predicted) == rounded((2.0 / 3 + 0.5) / 2));
    CHECK(matthews(gold, predicted) == rounded(1.0 / 6));  // (2·1 − 1·1) / √(3·3·2·2)
}

TEST_CASE("classes: all right, all wrong, one class only, a class that never occurs") {
    const Ids gold = {0, 1, 2, 1}, wrong = {1, 2, 0, 2}, constant = {1, 1, 1, 1};
    CHECK(matthews(gold, gold) == 1);
    CHECK(macro_f1(gold, gold) == 1);
    CHECK(accuracy(gold, wrong) == 0);
    CHECK(macro_f1(gold, wrong) == 0);
    CHECK(matthews(gold, constant) == 0);
    CHECK(matthews(constant, gold) == 0);
    CHECK(class_f1(constant, constant, 0) == 0);
    CHECK(class_f1(constant, constant, 7) == 0);
    CHECK(macro_f1(constant, constant) == 1);  // over the classes that occur
    CHECK(macro_f1(gold, constant) == rounded((0 + 2.0 * 2 / 6 + 0) / 3));
    CHECK(matthews(Ids{0, 1}, Ids{1, 0}) == -1);
}

TEST_CASE("classes: hundreds of thousands") {
    Ids gold(400000), predicted(400000);
    for (size_t i = 0; i < gold.size(); ++i) {
        gold[i] = i % 4 == 0 ? 1 : 0;
        predicted[i] = i % 8 == 0 ? 1 : 0;
    }
    CHECK(matthews(gold, predicted) == rounded(0.654653670707977));  // √(3/7)
}

TEST_CASE("correlation: ties share their rank") {
    CHECK(ranks(Values{3, 1, 3, 2, 3}) == Values{4, 1, 4, 2, 4});
    CHECK(ranks(Values{-0.0, 0.0}) == Values{1.5, 1.5});
    CHECK(*pearson(Values{1, 2, 3}, Values{2, 4, 6}) == rounded(1));
    CHECK(*pearson(Values{1, 2, 3}, Values{1, 3, 2}) == rounded(0.5));
    CHECK(*spearman(Values{1, 2, 3, 4}, Values{1, 10, 100, 1000}) == 1);
    CHECK(*spearman(Values{1, 2, 3, 4}, Values{4, 3, 2, 1}) == -1);
    CHECK(*spearman(Values{1, 2, 2, 3}, Values{1, 2, 3, 3}) == rounded(3.75 / 4.5));
}

TEST_CASE("correlation: not defined for constants, one example, or squares past a double's range") {
    CHECK(!pearson(Values{1, 1}, Values{1, 2}));
    CHECK(!pearson(Values{1, 2}, Values{0.1, 0.1}));
    CHECK(!spearman(Values{1, 2}, Values{5, 5}));
    CHECK(!pearson(Values{1}, Values{2}));
    CHECK(!pearson(Values{1, 2}, Values{0, 1e200}));
    CHECK(!pearson(Values{1, 2}, Values{0, 1e-200}));
    CHECK(mean_squared_error(Values{1, 2}, Values{1, 4}) == 2);
}

TEST_CASE("correlation: labels far from 0") {
    Values gold, predicted;
    for (const double x : {1.0, 2.0, 3.0, 4.0}) {
        gold.push_back(1e8 + x);
        predicted.push_back(1e8 + (x == 2 ? 3 : x == 3 ? 2 : x));
    }
    CHECK(*pearson(gold, predicted) == rounded(0.8));
}

TEST_CASE("entities: where they begin and end") {
    CHECK(types_of({"B-A", "I-A", "O", "I-A"}) == Words{"A02", "A34"});
    CHECK(types_of({"B-A", "B-A", "I-B", "I-B"}) == Words{"A01", "A12", "B24"});
    CHECK(types_of({"I-A", "I-A", "I-B"}) == Words{"A02", "B23"});
    CHECK(types_of({"O", "O"}).empty());
    CHECK(types_of({}).empty());
    CHECK(types_of({"B-I-A", "I-I-A"}) == Words{"I-A02"});
    CHECK(are_entity_labels(Words{"O", "B-A", "I-A"}));
    CHECK(!are_entity_labels(Words{"O", "B-"}));
    CHECK(!are_entity_labels(Words{"NOUN", "VERB"}));
}

TEST_CASE("entities: a hit has the same type, begin and end") {
    EntityCounts counts;
    counts.add(Words{"B-A", "I-A", "O", "B-B"}, Words{"B-A", "O", "O", "B-B"});
    CHECK(counts.gold == 2);
    CHECK(counts.predicted == 2);
    CHECK(counts.hits == 1);
    counts.add(Words{"O"}, Words{"B-B"});
    CHECK(counts.precision() == rounded(1.0 / 3));
    CHECK(counts.recall() == rounded(0.5));
    CHECK(counts.f1() == rounded(0.4));
    CHECK(EntityCounts{}.precision() == 0);
    CHECK(EntityCounts{}.recall() == 0);
    CHECK(EntityCounts{}.f1() == 0);
}

TEST_CASE("answers: the words that count") {
    CHECK(answer_words("The  Cat, a an THE dog!") == Words{"cat", "dog"});
    CHECK(answer_words("an-other a.b the1 1a") == Words{"another", "ab", "the1", "1a"});
    CHECK(answer_words("U.S.A. (the)") == Words{"usa"});
    CHECK(answer_words("\u00abthe\u00bb \u2019tis") ==
          Words{"\u00ab", "\u00bb", "\u2019tis"});                          // only ASCII's marks go
    CHECK(answer_words("a\u0301 the\u0301") == Words{"\u0301", "\u0301"});  // a mark is no letter
    CHECK(answer_words("x\u00a0y\u3000z\u2028\x1cw\u0085v") == Words{"x", "y", "z", "w", "v"});
    CHECK(answer_words("\u0130\u039f\u03a3 \u03a3\u0391") == Words{"i\u0307\u03bf\u03c2", "\u03c3\u03b1"});
    CHECK(answer_words("a \u00aa \u00e9a").size() == 2);
    CHECK(answer_words(" ... the ").empty());
}

TEST_CASE("answers: the best of the gold ones, and what has no words") {
    constexpr SquadVersion v1 = SquadVersion::v1, v2 = SquadVersion::v2;
    CHECK(score_answer("the cat sat", {"dog", "cat sat"}, v1).exact == 1);
    CHECK(score_answer("cat cat dog", {"cat dog dog"}, v1).f1 == rounded(2.0 / 3));
    CHECK(score_answer("cat cat dog", {"cat dog dog"}, v1).exact == 0);
    for (const std::string answer : {"", "the", "..."}) {
        CHECK(score_answer(answer, {"the"}, v1).exact == 1);
        CHECK(score_answer(answer, {"the"}, v1).f1 == 0);
        CHECK(score_answer(answer, {"the"}, v2).f1 == 1);
        CHECK(score_answer(answer, {"the", "cat"}, v2).f1 == 0);  // "the" is dropped beside another
        CHECK(score_answer(answer, {}, v2).exact == 1);
        CHECK(score_answer(answer, {}, v1).exact == 0);
    }
    CHECK(score_answer("cat", {}, v2).f1 == 0);
}

TEST_CASE("answers: the best threshold, one question after the other") {
    const BestThreshold all = best_threshold({{1, true, true, 0.5}, {0, false, true, 2}, {1, true, true, 1}});
    CHECK(all.score == 1);
    CHECK(all.threshold == 1);
    const BestThreshold none = best_threshold({{0, true, true, -1}, {0, false, true, -2}, {0, false, false, -3}});
    CHECK(none.score == rounded(2.0 / 3));
    CHECK(none.threshold == 0);
    // Equal odds: the second question already takes away what the first one gave.
    CHECK(best_threshold({{1, true, true, 3}, {0, false, true, 3}}).score == 1);
    CHECK(best_threshold({{0, false, true, 3}, {1, true, true, 3}}).score == 0.5);
}

TEST_CASE("measure: what a task's list has, and what it leaves out") {
    const std::vector<Example> examples = {of_class(0), of_class(1), of_class(1)};
    const Predictions predictions{.classes = {0, 1, 0}, .values = {}, .tags = {}, .answers = {}};
    const Metrics two = measure(find_task("single"), {"x", "y"}, examples, predictions);
    CHECK(*value_of(two, "f1") == rounded(2.0 / 3));
    CHECK(two.size() == 4);
    const Metrics three = measure(find_task("single"), {"x", "y", "z"}, examples, predictions);
    CHECK(!has(three, "f1"));
    CHECK(*main_metric(find_task("single"), three) == rounded(2.0 / 3));
    const Metrics mrpc = measure(find_task("mrpc"), {"0", "1"}, examples, predictions);
    CHECK(mrpc.size() == 2);
    CHECK(*main_metric(find_task("mrpc"), mrpc) == rounded(2.0 / 3));
}

TEST_CASE("measure: MultiRC's questions are right as a whole") {
    const std::vector<Example> examples = {of_class(1, "1\t1"), of_class(0, "1\t1"), of_class(1, "1\t2"),
                                           of_class(1, "2\t1")};
    const Metrics metrics = measure(find_task("multirc"), {"0", "1"}, examples, {.classes = {1, 1, 1, 0}});
    CHECK(*value_of(metrics, "em") == rounded(1.0 / 3));
    CHECK(*value_of(metrics, "f1a") == rounded(2.0 / 3));
    CHECK(*main_metric(find_task("multirc"), metrics) == rounded(0.5));
}

TEST_CASE("measure: a metric that is not defined makes the main one undefined") {
    std::vector<Example> examples(2);
    const Metrics metrics = measure(find_task("stsb"), {}, examples, {.values = {1, 2}});
    CHECK(!value_of(metrics, "pearson"));
    CHECK(*value_of(metrics, "mse") == 2.5);
    CHECK(!main_metric(find_task("stsb"), metrics));
}

TEST_CASE("measure: words that are no entities have accuracy only") {
    const std::vector<Example> examples = {{.classes = {0, 1}}};
    const Metrics tags = measure(find_task("token"), {"NOUN", "VERB"}, examples, {.tags = {{0, 0}}});
    CHECK(tags.size() == 1);
    CHECK(*main_metric(find_task("token"), tags) == 0.5);
    const Metrics entities = measure(find_task("token"), {"O", "B-A"}, examples, {.tags = {{0, 0}}});
    CHECK(*main_metric(find_task("token"), entities) == 0);
}

TEST_CASE("measure: questions without an answer, and a threshold") {
    const std::vector<Example> questions = {question({"cat"}), question({}), question({"dog"})};
    const Predictions predictions{.answers = {"cat", "cow", "pig"}};
    const Task& task = find_task("squad2");
    const Metrics plain = measure(task, {}, questions, predictions);
    CHECK(*value_of(plain, "exact") == rounded(1.0 / 3));
    CHECK(*value_of(plain, "HasAns_exact") == 0.5);
    CHECK(*value_of(plain, "NoAns_f1") == 0);
    CHECK(!has(plain, "best_f1"));
    const NullOdds odds{{1, 3, 2}, {0, 1, 2}};
    const Metrics cut = measure(task, {}, questions, predictions, {.null = odds, .threshold = 1.5});
    CHECK(*value_of(cut, "exact") == rounded(2.0 / 3));
    CHECK(*value_of(cut, "NoAns_exact") == 1);
    CHECK(*value_of(cut, "best_exact") == rounded(2.0 / 3));
    CHECK(*value_of(cut, "best_exact_thresh") == 1);
    const Metrics all = measure(task, {}, {questions[0]}, {.answers = {"cat"}});
    CHECK(!has(all, "NoAns_exact"));
}
