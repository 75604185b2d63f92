// Numbers below 2^-126 count as 0 in every thread that computes.
// label: levels
#include "base/subnormals.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <thread>
#include <vector>

#include "engine/buffer.h"
#include "engine/executor.h"
#include "kernels/kernels.h"

using namespace dropforge;

namespace {

#if defined(__SSE__) || defined(__aarch64__)

constexpr float kSmallest = std::numeric_limits<float>::min(), kSubnormal = kSmallest / 4;

/// What a thread's arithmetic makes of subnormal numbers: as a result, and as an operand whose result is none.
struct Seen {
    float result, operand;
};
Seen look() {
    volatile float smallest = kSmallest, quarter = 0.25f, subnormal = kSubnormal, large = 0x1p100f;
    return {smallest * quarter, subnormal * large};
}

/// Of each thread of a team.
std::vector<Seen> look_in_team(int threads) {
    std::vector<Seen> seen(static_cast<size_t>(threads), Seen{-1, -1});
#pragma omp parallel num_threads(threads)
    seen[static_cast<size_t>(omp_get_thread_num())] = look();
    return seen;
}

bool keeps(const Seen& s) { return s.result == kSubnormal && s.operand == kSubnormal * 0x1p100f; }
bool flushes(const Seen& s) { return s.result == 0 && s.operand == 0; }

/// Runs f in a thread of its own, with a mode and OpenMP threads of its own.
template <typename F>
void in_new_thread(F&& f) {
    std::thread(f).join();
}

TEST_CASE("a thread, and those that it makes") {
    in_new_thread([] {
        REQUIRE(keeps(look()));
        flush_subnormals();
        CHECK(flushes(look()));
        in_new_thread([] { CHECK(flushes(look())); });
        CHECK(std::ranges::all_of(look_in_team(4), flushes));
    });
    CHECK(keeps(look()));  // no other
}

TEST_CASE("an executor's ops, in OpenMP threads that were there before and in later ones") {
    Program program("example");
    std::vector<Seen> seen;
    program.add("look", {}, [&](const Run&) { seen = look_in_team(omp_get_max_threads()); });
    const MemoryPlan plan = plan_memory(program);
    const kernels::KernelTable table{};
    kernels::Context context;
    in_new_thread([&] {
        omp_set_num_threads(3);
        REQUIRE(std::ranges::all_of(look_in_team(3), keeps));
        Executor executor(program, plan, nullptr, table, context);
        for (const int threads : {2, 3, 5}) {
            omp_set_num_threads(threads);
            executor.run();
            CHECK(seen.size() == static_cast<size_t>(threads));
            CHECK(std::ranges::all_of(seen, flushes));
        }
    });
}

TEST_CASE("kernels make 0 of them, and conversions of weights keep them") {
    constexpr int64_t kN = 1 << 16;  // for all threads
    in_new_thread([] {
        const kernels::KernelTable& cpu = kernels::cpu();
        const auto context = cpu.create_context();
        std::vector<float> to(kN, kSubnormal), x(kN, kSubnormal);
        const kernels::Add add{.to = to.data(), .x = x.data(), .n = kN, .dtype = DType::f32};
        cpu.add(add, *context);
        REQUIRE(std::ranges::all_of(to, [](float y) { return y == 2 * kSubnormal; }));
    });
    in_new_thread([] {
        flush_subnormals();
        const kernels::KernelTable& cpu = kernels::cpu();
        const auto context = cpu.create_context();
        std::vector<float> to(kN, kSubnormal), x(kN, kSubnormal), y(kN, 1);
        cpu.add({.to = to.data(), .x = x.data(), .n = kN, .dtype = DType::f32}, *context);
        cpu.gelu_forward({.x = x.data(), .y = y.data(), .n = kN, .form = kernels::Gelu::erf, .dtype = DType::f32},
                         *context);
        const auto is_zero = [](float value) { return (std::bit_cast<uint32_t>(value) & 0x7fffffffu) == 0; };
        CHECK(std::ranges::all_of(to, is_zero));
        CHECK(std::ranges::all_of(y, is_zero));
        const std::vector<bf16> kept(kN, bf16(kSubnormal));
        std::vector<bf16> narrow(kN);
        cpu.cast({.from = x.data(), .to = narrow.data(), .n = kN, .from_dtype = DType::f32, .to_dtype = DType::bf16},
                 *context);
        CHECK(std::ranges::all_of(narrow, [&](bf16 value) { return value.bits == kept[0].bits; }));
        CHECK(kept[0].bits != 0);
    });
}

#endif

}  // namespace
