#include "engine/executor.h"
#include "engine/buffer.h"

#include <doctest/doctest.h>
#include <omp.h>

#include "base/error.h"
#include "tests/support/count_allocations.h"

using namespace dropforge;

namespace {

class NoContext : public kernels::Context {};

/// y = 2 * x + 1 in two ops over four numbers, with the intermediate in the arena.
struct Example {
    Program program{"example"};
    Tensor x = program.bound("x", DType::f32, {4}), doubled = program.planned("doubled", DType::f32, {4}),
           y = program.bound("y", DType::f32, {4});
    MemoryPlan plan;
    Buffer arena;
    kernels::KernelTable table{};
    NoContext context;

    Example() {
        program.add("double", {{x}, {doubled}}, [x = x, to = doubled](const Run& run) {
            for (int i = 0; i < 4; ++i) run.at<float>(to)[i] = 2 * run.at<float>(x)[i];
        });
        program.add("add one", {{doubled}, {y}}, [from = doubled, y = y](const Run& run) {
            for (int i = 0; i < 4; ++i) run.at<float>(y)[i] = run.at<float>(from)[i] + 1;
        });
        plan = plan_memory(program);
        arena = Buffer(plan.bytes);
    }
    Executor executor() { return Executor(program, plan, arena.as(), table, context); }
};

}  // namespace

TEST_CASE("ops run in order over bound memory and the arena") {
    Example example;
    Executor executor = example.executor();
    float x[4] = {0, 1, 2, 3}, y[4] = {}, other[4] = {};
    executor.bind("x", x);
    executor.bind("y", y);
    executor.run();
    CHECK(y[0] == 1);
    CHECK(y[3] == 7);
    x[3] = 10;
    executor.bind("y", other);  // other memory from now on
    executor.run();
    CHECK(other[3] == 21);
    CHECK(y[3] == 7);
}

TEST_CASE("binding: unknown, planned, null or forgotten storages are named") {
    Example example;
    Executor executor = example.executor();
    float x[4] = {};
    CHECK_THROWS_WITH_AS(executor.bind("z", x), "example: no tensor named z", Error);
    CHECK_THROWS_WITH_AS(executor.bind("doubled", x), "example: doubled lies in the arena and cannot be bound", Error);
    CHECK_THROWS_WITH_AS(executor.bind("x", nullptr), "example: x bound to no memory", Error);
    executor.bind("x", x);
    CHECK_THROWS_WITH_AS(executor.run(), "example: y was never bound; op add one uses it", Error);
    float y[4] = {};
    executor.bind("y", y);
    CHECK_NOTHROW(executor.run());
}

TEST_CASE("a plan or arena of something else is refused") {
    Example example;
    MemoryPlan other = example.plan;
    other.slots.pop_back();
    CHECK_THROWS_AS(Executor(example.program, other, example.arena.as(), example.table, example.context), Error);
    CHECK_THROWS_AS(Executor(example.program, example.plan, nullptr, example.table, example.context), Error);
    CHECK_THROWS_AS(
        Executor(example.program, example.plan, example.arena.as<char>() + 8, example.table, example.context), Error);
}

TEST_CASE("scratch is booked per thread: more threads than at that time are refused") {
    const int threads = omp_get_max_threads();
    omp_set_num_threads(2);
    Program program("example");
    program.add("work", {{}, {program.scratch("scratch", 64)}}, [](const Run&) {});
    omp_set_num_threads(threads);
    const MemoryPlan plan = plan_memory(program);
    const Buffer arena(plan.bytes);
    const kernels::KernelTable table{};
    NoContext context;
    Executor executor(program, plan, arena.as(), table, context);
    for (const int allowed : {1, 2}) {
        omp_set_num_threads(allowed);
        CHECK_NOTHROW(executor.run());
    }
    omp_set_num_threads(3);
    CHECK_THROWS_WITH_AS(executor.run(), "example: 3 threads to run on, but its scratch is for 2", Error);
    omp_set_num_threads(threads);
}

TEST_CASE("the clock counts runs, keeps events in order, and stops") {
    Example example;
    Executor executor = example.executor();
    float x[4] = {}, y[4] = {};
    executor.bind("x", x);
    executor.bind("y", y);
    executor.run();
    CHECK(executor.times()[0].runs == 0);
    executor.clock(true);
    executor.run();
    CHECK(executor.times()[1].runs == 1);
    CHECK(executor.times()[1].seconds >= 0);
    CHECK(executor.events().empty());
    executor.clock(true, true);
    executor.run();
    executor.run();
    REQUIRE(executor.events().size() == 4);
    for (size_t i = 0; i < 4; ++i) CHECK(executor.events()[i].op == static_cast<int32_t>(i % 2));
    for (size_t i = 1; i < 4; ++i)
        CHECK(executor.events()[i].start >= executor.events()[i - 1].start + executor.events()[i - 1].seconds - 1e-9);
    executor.clock(false);
    executor.run();
    CHECK(executor.times()[0].runs == 3);
    CHECK(executor.events().size() == 4);
}

TEST_CASE("run allocates nothing, clocked or not, also past the events that are kept") {
    Example example;
    Executor executor = example.executor();
    float x[4] = {}, y[4] = {};
    executor.bind("x", x);
    executor.bind("y", y);
    const int64_t before = allocations();
    executor.run();
    CHECK(allocations() == before);
    executor.clock(true, true);
    if (kCountsAllocations) CHECK(allocations() > before);  // the count works
    const int64_t clocked = allocations();
    for (int64_t i = 0; i < 2 * kEventRuns; ++i) executor.run();
    const int64_t after = allocations();
    CHECK(after == clocked);
    CHECK(static_cast<int64_t>(executor.events().size()) == 2 * kEventRuns);  // two ops a run
    CHECK(executor.times()[0].runs == 2 * kEventRuns);
}

TEST_CASE("a moved executor runs on its own pointers") {
    Example example;
    float x[4] = {1, 1, 1, 1}, y[4] = {};
    Executor first = example.executor();
    first.bind("x", x);
    first.bind("y", y);
    Executor second = std::move(first);
    second.run();
    CHECK(y[0] == 3);
}

TEST_CASE("buffers are aligned, zeroed, movable, and refuse with the number of bytes") {
    for (int64_t bytes : {int64_t{1}, int64_t{4096}, int64_t{4097}, int64_t{4 << 20}, int64_t{(9 << 20) + 1}}) {
        Buffer buffer(bytes);
        CHECK(buffer.bytes() == bytes);
        CHECK(reinterpret_cast<uintptr_t>(buffer.as()) % kArenaAlignment == 0);
        if (bytes >= 4 << 20) CHECK(reinterpret_cast<uintptr_t>(buffer.as()) % (2 << 20) == 0);
        CHECK(buffer.as<char>()[0] == 0);
        CHECK(buffer.as<char>()[bytes - 1] == 0);
        buffer.as<char>()[bytes - 1] = 7;
        Buffer other = std::move(buffer);
        CHECK(other.as<char>()[bytes - 1] == 7);
        buffer = Buffer(16);
        CHECK(buffer.as<char>()[15] == 0);
    }
    CHECK(Buffer().as() == nullptr);
    CHECK(Buffer(0).as() == nullptr);
    CHECK_THROWS_AS(Buffer(-1), Error);
    try {
        Buffer(int64_t{1} << 60);
        FAIL("2^60 bytes were granted");
    } catch (const Error& error) {
        CHECK(
            std::string(error.what()).starts_with("cannot get 1152921504606846976 bytes (1152921504.61 GB) of memory"));
    }
}
