// Staging on a device that does nothing before it is waited for: what is read too early, or overwritten too early,
// shows.
#include "engine/staging.h"

#include <doctest/doctest.h>

#include <cstring>
#include <deque>
#include <functional>
#include <vector>

#include "base/error.h"
#include "engine/memory_plan.h"

namespace dropforge {
namespace {

/// Memory of its own; what is queued runs when somebody waits for it, as late as is allowed.
class LazyDevice : public kernels::Context {
  public:
    bool on_host() const override { return false; }
    void upload(void* to, const void* host, int64_t bytes) override {
        queue([=] { std::memcpy(to, host, static_cast<size_t>(bytes)); });
    }
    void download(void* host, const void* from, int64_t bytes) override {
        queue([=] { std::memcpy(host, from, static_cast<size_t>(bytes)); });
    }
    int64_t mark() override { return queued_; }
    void wait(int64_t mark) override {
        for (; done_ < mark; ++done_) {
            work_.front()();
            work_.pop_front();
        }
    }
    void queue(std::function<void()> call) {
        work_.push_back(std::move(call));
        ++queued_;
    }

  private:
    std::deque<std::function<void()>> work_;
    int64_t queued_ = 0, done_ = 0;
};

/// sum = a + b, count += a, and a state that stays on the device: state += a.
class Adder {
  public:
    explicit Adder(LazyDevice& device) : device_(device) {
        const Tensor a = program.bound("a", DType::f32, {1}), b = program.bound("b", DType::f32, {1});
        const Tensor sum = program.bound("sum", DType::f32, {1}), state = program.bound("state", DType::f32, {1});
        program.add("add", {.reads = {a, b, state}, .writes = {sum, state}}, [=, this](const Run& r) {
            device_.queue(
                [pa = r.at<float>(a), pb = r.at<float>(b), ps = r.at<float>(sum), state = r.at<float>(state)] {
                    *ps = *pa + *pb;
                    *state += *pa;
                });
        });
    }
    Program program{"adder"};

  private:
    LazyDevice& device_;
};

bool is_exchanged(std::string_view name) { return name != "state"; }

TEST_CASE("as many runs as asked for can be under way, each with its own inputs and outputs") {
    LazyDevice device;
    Adder adder(device);
    const MemoryPlan plan = plan_memory(adder.program);
    const kernels::KernelTable none{};
    Executor executor(adder.program, plan, nullptr, none, device);
    Mirrored state(sizeof(float), device);
    executor.bind("state", state.device());
    constexpr int64_t kRuns = 3;
    Staging io(device, {&adder.program}, is_exchanged, kRuns);
    io.bind(executor);
    CHECK(io.has("a"));
    CHECK_FALSE(io.has("state"));
    for (int run = 0; run < 10; ++run) {
        io.begin();
        const float a = static_cast<float>(run), b = static_cast<float>(100 * run);
        io.set("a", std::span(&a, 1));
        io.set("b", std::span(&b, 1));
        io.set("nobody's", std::span(&b, 1));
        io.run(executor);
        if (run < kRuns - 1) continue;
        io.finish(kRuns - 1);  // the oldest that is still there
        CHECK(io.at<float>("sum", kRuns - 1)[0] == static_cast<float>(101 * (run - kRuns + 1)));
    }
    io.finish();
    for (int64_t ago = 0; ago < kRuns; ++ago) CHECK(io.at<float>("sum", ago)[0] == static_cast<float>(101 * (9 - ago)));
    state.fetch();
    device.synchronize();
    CHECK(*state.host<float>() == 45);
    *state.host<float>() = 7;
    state.store();
    io.begin();
    io.run(executor);  // with the inputs of three runs ago
    io.finish();
    CHECK(io.at<float>("sum")[0] == 707);
    state.fetch();
    device.synchronize();
    CHECK(*state.host<float>() == 14);
}

TEST_CASE("tensors that programs disagree on, and ones that nobody has, are refused by name") {
    kernels::Context host;
    Program one("one"), two("two");
    one.bound("x", DType::f32, {2});
    two.bound("x", DType::f32, {3});
    CHECK_THROWS_WITH_AS(Staging(host, {&one, &two}, is_exchanged), "two: x is f32 [3], in one f32 [2]", Error);
    const Staging io(host, {&one}, is_exchanged);
    CHECK_THROWS_WITH_AS(io.at<float>("y"), "no program has an input or output y", Error);
    const std::vector<float> three(3);
    CHECK_THROWS_WITH_AS(io.set("x", std::span(three)), "x: 12 bytes given, 8 expected", Error);
    CHECK_NOTHROW(io.set("y", std::span(three)));
    Program three_as_two("three");
    three_as_two.bound("x", DType::i32, {2});
    CHECK_THROWS_WITH_AS(Staging(host, {&one, &three_as_two}, is_exchanged), "three: x is i32 [2], in one f32 [2]",
                         Error);
}

TEST_CASE("inputs that are never set are refused by name, outputs need no setting") {
    LazyDevice device;
    const Adder adder(device);
    const Staging io(device, {&adder.program}, is_exchanged);
    CHECK_NOTHROW(io.require_given(adder.program, {"a", "b"}));
    CHECK_THROWS_WITH_AS(io.require_given(adder.program, {"a", "B"}), "adder: the input b is never set", Error);
    CHECK_NOTHROW(io.require_given(Program("other"), {}));
}

TEST_CASE("where kernels work on host memory, a state and its mirror are one") {
    kernels::Context host;
    const Mirrored state(sizeof(float), host);
    CHECK(state.host() == state.device());
}

}  // namespace
}  // namespace dropforge
