// The race detector sees each kind of defect, names both lines, and says nothing of the same kernel without the defect.
#include "kernels/cuda/emulator/checks/race.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "tests/simt_checks/race_kernels.h"

namespace dropforge::simt {
namespace {

using namespace race_kernels;

constexpr Order kOrders[] = {Order::forward, Order::reverse, Order::random};

/// What a detector of its own says of the launches.
std::string complaints_of(const std::function<void()>& launches, Order order = Order::forward) {
    RaceDetector detector;
    const ScopedObserver scope(detector);
    const ScopedOrder ordered(order);
    launches();
    return detector.complaints();
}

void check_contains(const std::string& text, std::initializer_list<const char*> parts) {
    INFO(text);
    for (const char* part : parts) CHECK(text.find(part) != std::string::npos);
}

/// Nothing is said of the right kernel; something, with these parts, of the wrong one: in every order.
void check_defect(const std::function<void(bool right)>& kernel, std::initializer_list<const char*> parts) {
    for (const Order order : kOrders) {
        CHECK(complaints_of([&] { kernel(true); }, order) == "");
        check_contains(complaints_of([&] { kernel(false); }, order), parts);
    }
}

TEST_CASE("race detector: a missing barrier") {
    std::vector<float> out(64);
    check_defect([&](bool right) { barrier_before_reading(out.data(), right); },
                 {"race on byte ", " of shared array row: ", "write by thread ", "read by thread ",
                  " of block 0 at race_kernels.cu:"});
    check_defect([&](bool right) { barrier_before_writing(out.data(), right); },
                 {"race on byte ", " of shared array row: ", "write by thread ", "read by thread "});
}

TEST_CASE("race detector: a pair of lines is named once, with what they were inlined into") {
    std::vector<float> out(64);
    const std::string text = complaints_of([&] { barrier_before_writing(out.data(), false); }),
                      start = fmt::format(
                          "race on byte 0 of shared array row: write by thread 0 of block 0 at "
                          "race_kernels.cu:{} < race_kernels.cu:",
                          kLineOfWriting),
                      end = fmt::format(", read by thread 31 of block 0 at race_kernels.cu:{} < race_kernels.cu:",
                                        kLineOfReading);
    check_contains(text, {start.c_str(), end.c_str()});
    CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("race detector: in a warp, only __syncwarp orders memory, for the lanes of its mask") {
    std::vector<float> out(64);
    for (const Order order : kOrders) {
        const auto complaints = [&](int distance, Between between) {
            return complaints_of([&] { exchange_in_warp(out.data(), distance, between); }, order);
        };
        for (const Between none : {Between::nothing, Between::shuffle, Between::vote})
            check_contains(complaints(8, none), {"race on byte ", "write by thread ", "read by thread "});
        CHECK(complaints(8, Between::syncwarp_of_half) == "");
        check_contains(complaints(16, Between::syncwarp_of_half), {"race on byte "});
        CHECK(complaints(16, Between::syncwarp) == "");
    }
}

TEST_CASE("race detector: blocks that add to one word") {
    int sum = 0;
    check_defect([&](bool right) { atomic_addition(&sum, right); },
                 {"race on global memory: write by thread 0 of block ", "by thread 0 of block "});
}

TEST_CASE("race detector: between blocks, a fence and an atomic function order what comes before and after") {
    float total = 0;
    check_defect(
        [&](bool right) {
            std::vector<float> partials(4);
            unsigned counter = 0;
            fence_before_counting(partials.data(), &counter, &total, right);
        },
        {"race on global memory: write by thread 0 of block ", "read by thread 1 of block "});
    CHECK(total == 4);  // the result does not show it
}

TEST_CASE("race detector: an atomic access and one that is not") {
    int flag[2] = {};
    check_defect([&](bool right) { atomic_reading(flag, right); },
                 {"race on global memory: ", "atomic access by thread 0 of block 0", "read by thread 40 of block 0"});
}

TEST_CASE("race detector: shared memory that nothing was written to") {
    std::vector<float> out(128);
    check_defect(
        [&](bool right) { writing_of_shared_memory(out.data(), right); },
        {"read of byte 128 of shared array row, which nothing was written to, by thread ", " at race_kernels.cu:"});
}

TEST_CASE("race detector: copies of structures are seen whole") {
    alignas(32) float from[64] = {}, to[64];
    check_defect([&](bool right) { rows_of_their_own(from, to, right); }, {"race on global memory: write by thread "});
}

TEST_CASE("race detector: global memory that nothing was written to") {
    std::vector<float> in(32), out(32);
    CHECK(complaints_of([&] {  // memory of which nothing is said, and what a launch before has written
              add_one(out.data(), 32);
              declare_unwritten(out.data(), 32 * sizeof(float));
              copy(in.data(), out.data(), 32);
              add_one(out.data(), 32);
          }) == "");
    check_contains(
        complaints_of([&] {
            declare_unwritten(out.data(), 32 * sizeof(float));
            copy(in.data(), out.data(), 31);
            add_one(out.data(), 32);
        }),
        {"read of global memory, which nothing was written to, by thread 31 of block 0 at race_kernels.cu:"});
    CHECK(complaints_of([&] {
              declare_unwritten(out.data(), 32 * sizeof(float));
              declare_written(out.data() + 4, 28 * sizeof(float));
              copy(in.data(), out.data(), 4);
              add_one(out.data(), 32);
              declare_unwritten(out.data(), 32 * sizeof(float));
              declare_all_written();
              add_one(out.data(), 32);
          }) == "");
}

TEST_CASE("race detector: launches are ordered") {
    std::vector<float> out(64);
    CHECK(complaints_of([&] {
              for (int i = 0; i < 3; ++i) barrier_before_reading(out.data(), true);
              add_one(out.data(), 32);
          }) == "");
}

}  // namespace
}  // namespace dropforge::simt
