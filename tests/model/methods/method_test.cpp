#include "model/methods/dense.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "model/methods/sctd.h"

using namespace dropforge;

namespace {

RunShape of(int64_t steps) {
    RunShape shape;
    shape.model = BertConfig::preset("bert-mini");
    shape.sequence = 128;
    shape.steps = steps;
    return shape;
}

std::vector<int64_t> steps_of(const Method& schedule, StepKind kind, int64_t steps) {
    std::vector<int64_t> found;
    for (int64_t step = 1; step <= steps; ++step)
        if (schedule.kind(step) == kind) found.push_back(step);
    return found;
}

/// count() and has() against kind() of every step.
void check_counts(const Method& schedule, int64_t steps) {
    for (const StepKind kind : {StepKind::dense, kDroppingStep, kAlignStep}) {
        CAPTURE(static_cast<uint32_t>(kind));
        const auto found = static_cast<int64_t>(steps_of(schedule, kind, steps).size());
        CHECK(schedule.count(kind) == found);
    }
}

}  // namespace

TEST_CASE("keep: shares are rounded down, counts are themselves") {
    CHECK(CountOrShare{}.of(128) == 64);
    CHECK(CountOrShare{}.of(127) == 63);
    CHECK(CountOrShare{0.3}.of(10) == 3);
    CHECK(CountOrShare{0.29}.of(100) == 29);  // 28.999999999999996 in double precision
    CHECK(CountOrShare{0.57}.of(100) == 57);  // 56.99999999999999
    CHECK(CountOrShare{0.01}.of(100) == 1);
    CHECK(CountOrShare{1.0}.of(65536) == 65536);
    CHECK(CountOrShare{1.0 / 3}.of(3) == 1);
    CHECK(CountOrShare{0.999}.of(512) == 511);
    CHECK(CountOrShare{22, false}.of(48) == 22);
    CHECK(CountOrShare{1, false}.of(48) == 1);
    // A share that keeps k of n keeps k, for every k and n.
    for (int64_t n = 2; n <= 512; ++n)
        for (int64_t k = 1; k <= n; ++k)
            REQUIRE(CountOrShare{static_cast<double>(k) / static_cast<double>(n)}.of(n) == k);
    CHECK(CountOrShare{}.text() == "0.5");
    CHECK(CountOrShare{1.0}.text() == "1.0");
    CHECK(CountOrShare{1.0 / 3}.text() == "0.3333333333333333");
    CHECK(CountOrShare{64, false}.text() == "64");
}

TEST_CASE("dense: every step is") {
    const auto schedule = dense(of(10));
    CHECK(steps_of(*schedule, StepKind::dense, 10).size() == 10);
    check_counts(*schedule, 10);
}

TEST_CASE("token dropping: every step from start_step + 1 to end_step") {
    const TokenDropping all(of(6), {});
    CHECK(steps_of(all, kDroppingStep, 6) == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
    check_counts(all, 6);
    const TokenDropping part(of(6), {.start_step = 2, .end_step = 4});
    CHECK(steps_of(part, kDroppingStep, 6) == std::vector<int64_t>{3, 4});
    CHECK(steps_of(part, StepKind::dense, 6) == std::vector<int64_t>{1, 2, 5, 6});
    check_counts(part, 6);
    const TokenDropping none(of(6), {.start_step = 6});
    CHECK(none.count(kDroppingStep) == 0);
    check_counts(none, 6);
    check_counts(TokenDropping(of(6), {.start_step = 1, .end_step = 99}), 6);
}

TEST_CASE("sctd: exactly the multiples of the interval align; the others drop tokens") {
    const Sctd schedule(of(1000), {}, {});
    for (int64_t step = 1; step <= 1000; ++step)
        REQUIRE(schedule.kind(step) == (step % 10 == 0 ? kAlignStep : kDroppingStep));
    check_counts(schedule, 1000);
    check_counts(Sctd(of(7), {}, {.interval = 1}), 7);
    const Sctd rare(of(7), {}, {.interval = 8});
    CHECK(rare.count(kAlignStep) == 0);
    CHECK(rare.count(kDroppingStep) > 0);
    CHECK(Sctd(of(7), {}, {.interval = 1}).count(kDroppingStep) == 0);
}

TEST_CASE("sctd: the dense phases cut a window out and don't shift what is in it") {
    const Sctd schedule(of(60), {.start_step = 10, .end_step = 40}, {});
    CHECK(steps_of(schedule, kAlignStep, 60) == std::vector<int64_t>{20, 30, 40});
    CHECK(schedule.kind(10) == StepKind::dense);
    CHECK(schedule.kind(11) == kDroppingStep);
    CHECK(schedule.kind(41) == StepKind::dense);
    check_counts(schedule, 60);
}

TEST_CASE("sctd: an interval from 10 to 5 aligns at the rates promised") {
    constexpr int64_t kSteps = 100'000;
    const Sctd schedule(of(kSteps), {}, {.interval = 10, .interval_end = 5});
    const auto align = steps_of(schedule, kAlignStep, kSteps);
    // ∫ dt / (10 − 5·t/T) from 0 to T is T·ln 2 / 5.
    CHECK(static_cast<double>(align.size()) == std::floor(kSteps * std::log(2.0) / 5));
    check_counts(schedule, kSteps);
    // Each gap is the interval of the moment, which is no integer, rounded down or up.
    for (size_t i = 1; i < align.size(); ++i) {
        const auto interval = [&](int64_t step) {
            return 10 - 5 * static_cast<double>(step) / static_cast<double>(kSteps);
        };
        const auto gap = static_cast<double>(align[i] - align[i - 1]);
        REQUIRE(gap >= std::floor(interval(align[i])));
        REQUIRE(gap <= std::ceil(interval(align[i - 1])));
    }
    CHECK(align[0] == 10);  // due after 9.998 steps
    const Sctd slower(of(1000), {}, {.interval = 1, .interval_end = 50});
    CHECK(slower.kind(1) == kDroppingStep);  // the rate falls below 1 within the first step
    check_counts(slower, 1000);
    // As constant as can be told apart: nearly every tenth step.
    const Sctd nearly(of(3'500'000), {}, {.interval = 1'000'000, .interval_end = 1'000'001});
    CHECK(nearly.count(kAlignStep) == 3);
}

TEST_CASE("a step's kind and λ follow from its number alone") {
    const SctdOptions sctd{.interval = 7, .interval_end = 3, .lambda = 0.1, .lambda_end = 0.5};
    const Sctd schedule(of(500), {.start_step = 5}, sctd), again(of(500), {.start_step = 5}, sctd);
    for (int64_t step = 1; step <= 500; ++step) {
        REQUIRE(schedule.kind(step) == again.kind(step));
        REQUIRE(schedule.kind(501 - step) == again.kind(501 - step));  // asked in another order
        REQUIRE(schedule.lambda(step) == again.lambda(step));
    }
}

TEST_CASE("λ: constant, or a line from the first step to the last") {
    const Sctd constant(of(9), {}, {.lambda = 0.3});
    for (int64_t step = 1; step <= 9; ++step) CHECK(constant.lambda(step) == 0.3);
    const Sctd line(of(9), {}, {.lambda = 0.25, .lambda_end = 1.25});
    for (int64_t step = 1; step <= 9; ++step)
        CHECK(line.lambda(step) == 0.25 + static_cast<double>(step - 1) / 8);  // exact: eighths
    const Sctd down(of(3), {}, {.lambda = 0.5, .lambda_end = 0.0});
    CHECK(down.lambda(3) == 0);
    CHECK(Sctd(of(1), {}, {.lambda = 0.5, .lambda_end = 0.0}).lambda(1) == 0.5);
}

TEST_CASE("every method that is registered has its name, and kinds of which the first is dense") {
    std::vector<std::string> names;
    BertConfig model = BertConfig::preset("bert-mini");
    for (const MethodEntry& entry : methods()) {
        CAPTURE(entry.name);
        const auto method = entry.make({model, 128, 1000}, {});
        CHECK(method->name() == std::string(entry.name));
        CHECK(method->kinds()[0] == "dense");
        CHECK(method->kind_name(StepKind::dense) == "dense");
        int64_t steps = 0;
        double shares = 0;
        for (uint32_t i = 0; i < method->kinds().size(); ++i) {
            steps += method->count(StepKind{i});
            shares += method->share(StepKind{i});
        }
        CHECK(steps == 1000);
        const auto roundings = 2 * static_cast<double>(method->kinds().size());  // each share is rounded, then the sum
        CHECK(std::abs(shares - 1) <= roundings * 0x1p-53);
        for (const config::MethodKey& key : entry.keys) CHECK(entry.reads(key.table));
        names.emplace_back(entry.name);
    }
    CHECK(names.size() == method_names().size());
    CHECK_THROWS_WITH_AS(method_entry("best"),
                         doctest::Contains("there is no method \"best\"; there are dense, token_dropping, sctd"),
                         Error);
}

TEST_CASE("named numbers keep the order in which they were written, and have 0 for others") {
    NamedNumbers numbers{{"a", 1}, {"b", 2}};
    numbers["c"] += 3;
    numbers["a"] += 1;
    const NamedNumbers& read = numbers;
    CHECK(read["a"] == 2);
    CHECK(read["c"] == 3);
    CHECK(read["d"] == 0);
    CHECK(!read.has("d"));
    std::string order;
    for (const auto& [name, value] : read) order += name;
    CHECK(order == "abc");
}
