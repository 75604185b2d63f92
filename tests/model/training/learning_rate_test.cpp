#include "model/training/learning_rate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

using namespace dropforge;

namespace {

// Each value below is a handful of double operations away from the exact one.
void check_close(double value, double expected) {
    CHECK(std::abs(value - expected) <= 4 * 0x1p-53 * std::abs(expected));
}

}  // namespace

TEST_CASE("warm-up rises by lr / w a step, from the first step on, whatever follows") {
    for (const auto kind :
         {ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::polynomial, ScheduleKind::constant}) {
        const Schedule schedule{kind, 0.008, 0.001, 2, 4, 12};
        check_close(schedule.at(1), 0.002);
        check_close(schedule.at(2), 0.004);
        check_close(schedule.at(3), 0.006);
        check_close(schedule.at(4), 0.008);
        check_close(schedule.at(5), 0.008);
    }
}

TEST_CASE("linear: eight equal steps down, the last update is not wasted") {
    const Schedule schedule{ScheduleKind::linear, 0.008, 0, 1, 4, 12};
    check_close(schedule.at(6), 0.007);
    check_close(schedule.at(9), 0.004);
    check_close(schedule.at(12), 0.001);
    CHECK(schedule.at(13) == 0);
    CHECK(schedule.at(1000) == 0);
}

TEST_CASE("linear to a rate above 0") {
    const Schedule schedule{ScheduleKind::linear, 0.010, 0.002, 1, 0, 4};
    check_close(schedule.at(1), 0.010);
    check_close(schedule.at(2), 0.008);
    check_close(schedule.at(4), 0.004);
    check_close(schedule.at(5), 0.002);
}

TEST_CASE("polynomial") {
    const Schedule square{ScheduleKind::polynomial, 0.016, 0, 2, 0, 4};
    check_close(square.at(2), 0.009);  // (3/4)²
    check_close(square.at(3), 0.004);
    check_close(square.at(4), 0.001);
    const Schedule root{ScheduleKind::polynomial, 0.5, 0.1, 0.5, 2, 6};
    check_close(root.at(6), 0.1 + 0.4 * 0.5);  // √(1/4)
    const Schedule first{ScheduleKind::polynomial, 0.008, 0, 1, 4, 12},
        linear{ScheduleKind::linear, 0.008, 0, 1, 4, 12};
    for (int64_t step = 1; step <= 14; ++step) CHECK(first.at(step) == linear.at(step));
}

TEST_CASE("cosine") {
    const Schedule schedule{ScheduleKind::cosine, 0.4, 0.1, 1, 0, 6};
    check_close(schedule.at(1), 0.4);
    check_close(schedule.at(3), 0.1 + 0.3 * 0.75);  // cos(π/3) = ½
    check_close(schedule.at(4), 0.25);
    check_close(schedule.at(5), 0.1 + 0.3 * 0.25);
    check_close(schedule.at(7), 0.1);
}

TEST_CASE("constant goes on past the last step") {
    const Schedule schedule{ScheduleKind::constant, 0.5, 0.1, 1, 0, 3};
    CHECK(schedule.at(1) == 0.5);
    CHECK(schedule.at(3) == 0.5);
    CHECK(schedule.at(30) == 0.5);
}

TEST_CASE("a warm-up as long as the run, and a run of one step") {
    const Schedule schedule{ScheduleKind::linear, 0.5, 0, 1, 3, 3};
    check_close(schedule.at(3), 0.5);
    CHECK(schedule.at(4) == 0);
    CHECK(Schedule{ScheduleKind::cosine, 0.5, 0, 1, 0, 1}.at(1) == 0.5);
}
