#include "model/methods/method.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace dropforge;

namespace {

std::vector<int64_t> steps_of(const StepSchedule& schedule, StepKind kind, int64_t steps) {
    std::vector<int64_t> found;
    for (int64_t step = 1; step <= steps; ++step)
        if (schedule.kind(step) == kind) found.push_back(step);
    return found;
}

/// count() and has() against kind() of every step.
void check_counts(const StepSchedule& schedule, int64_t steps) {
    for (const StepKind kind : {StepKind::dense, StepKind::dropping, StepKind::align}) {
        CAPTURE(name_of(kind));
        const auto found = static_cast<int64_t>(steps_of(schedule, kind, steps).size());
        CHECK(schedule.count(kind) == found);
        CHECK(schedule.has(kind) == (found > 0));
    }
}

}  // namespace

TEST_CASE("keep: shares are rounded down, counts are themselves") {
    CHECK(Keep{}.of(128) == 64);
    CHECK(Keep{}.of(127) == 63);
    CHECK(Keep{0.3}.of(10) == 3);
    CHECK(Keep{0.29}.of(100) == 29);  // 28.999999999999996 in double precision
    CHECK(Keep{0.57}.of(100) == 57);  // 56.99999999999999
    CHECK(Keep{0.01}.of(100) == 1);
    CHECK(Keep{1.0}.of(65536) == 65536);
    CHECK(Keep{1.0 / 3}.of(3) == 1);
    CHECK(Keep{0.999}.of(512) == 511);
    CHECK(Keep{22, false}.of(48) == 22);
    CHECK(Keep{1, false}.of(48) == 1);
    // A share that keeps k of n keeps k, for every k and n.
    for (int64_t n = 2; n <= 512; ++n)
        for (int64_t k = 1; k <= n; ++k) REQUIRE(Keep{static_cast<double>(k) / static_cast<double>(n)}.of(n) == k);
    CHECK(Keep{}.text() == "0.5");
    CHECK(Keep{1.0}.text() == "1.0");
    CHECK(Keep{1.0 / 3}.text() == "0.3333333333333333");
    CHECK(Keep{64, false}.text() == "64");
}

TEST_CASE("dense: every step is") {
    const StepSchedule schedule(Method::dense, {.start_step = 3, .end_step = 5}, {.interval = 2}, 10);
    CHECK(steps_of(schedule, StepKind::dense, 10).size() == 10);
    check_counts(schedule, 10);
}

TEST_CASE("token dropping: every step from start_step + 1 to end_step") {
    const StepSchedule all(Method::token_dropping, {}, {.interval = 2}, 6);
    CHECK(steps_of(all, StepKind::dropping, 6) == std::vector<int64_t>{1, 2, 3, 4, 5, 6});
    check_counts(all, 6);
    const StepSchedule part(Method::token_dropping, {.start_step = 2, .end_step = 4}, {}, 6);
    CHECK(steps_of(part, StepKind::dropping, 6) == std::vector<int64_t>{3, 4});
    CHECK(steps_of(part, StepKind::dense, 6) == std::vector<int64_t>{1, 2, 5, 6});
    check_counts(part, 6);
    const StepSchedule none(Method::token_dropping, {.start_step = 6}, {}, 6);
    CHECK_FALSE(none.has(StepKind::dropping));
    check_counts(none, 6);
    check_counts(StepSchedule(Method::token_dropping, {.start_step = 1, .end_step = 99}, {}, 6), 6);
}

TEST_CASE("sctd: exactly the multiples of the interval align; the others drop tokens") {
    const StepSchedule schedule(Method::sctd, {}, {}, 1000);
    for (int64_t step = 1; step <= 1000; ++step)
        REQUIRE(schedule.kind(step) == (step % 10 == 0 ? StepKind::align : StepKind::dropping));
    check_counts(schedule, 1000);
    check_counts(StepSchedule(Method::sctd, {}, {.interval = 1}, 7), 7);
    const StepSchedule rare(Method::sctd, {}, {.interval = 8}, 7);
    CHECK_FALSE(rare.has(StepKind::align));
    CHECK(rare.has(StepKind::dropping));
    CHECK_FALSE(StepSchedule(Method::sctd, {}, {.interval = 1}, 7).has(StepKind::dropping));
}

TEST_CASE("sctd: the dense phases cut a window out and don't shift what is in it") {
    const StepSchedule schedule(Method::sctd, {.start_step = 10, .end_step = 40}, {}, 60);
    CHECK(steps_of(schedule, StepKind::align, 60) == std::vector<int64_t>{20, 30, 40});
    CHECK(schedule.kind(10) == StepKind::dense);
    CHECK(schedule.kind(11) == StepKind::dropping);
    CHECK(schedule.kind(41) == StepKind::dense);
    check_counts(schedule, 60);
}

TEST_CASE("sctd: an interval from 10 to 5 aligns at the rates promised") {
    constexpr int64_t kSteps = 100'000;
    const StepSchedule schedule(Method::sctd, {}, {.interval = 10, .interval_end = 5}, kSteps);
    const auto align = steps_of(schedule, StepKind::align, kSteps);
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
    const StepSchedule slower(Method::sctd, {}, {.interval = 1, .interval_end = 50}, 1000);
    CHECK(slower.kind(1) == StepKind::dropping);  // the rate falls below 1 within the first step
    check_counts(slower, 1000);
    // As constant as can be told apart: nearly every tenth step.
    const StepSchedule nearly(Method::sctd, {}, {.interval = 1'000'000, .interval_end = 1'000'001}, 3'500'000);
    CHECK(nearly.count(StepKind::align) == 3);
}

TEST_CASE("a step's kind and λ follow from its number alone") {
    const SctdOptions sctd{.interval = 7, .interval_end = 3, .lambda = 0.1, .lambda_end = 0.5};
    const StepSchedule schedule(Method::sctd, {.start_step = 5}, sctd, 500),
        again(Method::sctd, {.start_step = 5}, sctd, 500);
    for (int64_t step = 1; step <= 500; ++step) {
        REQUIRE(schedule.kind(step) == again.kind(step));
        REQUIRE(schedule.kind(501 - step) == again.kind(501 - step));  // asked in another order
        REQUIRE(schedule.lambda(step) == again.lambda(step));
    }
}

TEST_CASE("λ: constant, or a line from the first step to the last") {
    const StepSchedule constant(Method::sctd, {}, {.lambda = 0.3}, 9);
    for (int64_t step = 1; step <= 9; ++step) CHECK(constant.lambda(step) == 0.3);
    const StepSchedule line(Method::sctd, {}, {.lambda = 0.25, .lambda_end = 1.25}, 9);
    for (int64_t step = 1; step <= 9; ++step)
        CHECK(line.lambda(step) == 0.25 + static_cast<double>(step - 1) / 8);  // exact: eighths
    const StepSchedule down(Method::sctd, {}, {.lambda = 0.5, .lambda_end = 0.0}, 3);
    CHECK(down.lambda(3) == 0);
    CHECK(StepSchedule(Method::sctd, {}, {.lambda = 0.5, .lambda_end = 0.0}, 1).lambda(1) == 0.5);
}

TEST_CASE("names, in the order of the enums") {
    CHECK(name_of(Method::token_dropping) == std::string("token_dropping"));
    CHECK(name_of(Method::sctd) == std::string("sctd"));
    CHECK(name_of(Pooling::mean) == std::string("mean"));
    CHECK(name_of(KlNormalization::sequences) == std::string("sequences"));
    CHECK(name_of(StepKind::align) == std::string("align"));
    CHECK_FALSE(drops_tokens(Method::dense));
    CHECK(drops_tokens(Method::sctd));
    CHECK_FALSE(aligns_semantics(Method::token_dropping));
}
