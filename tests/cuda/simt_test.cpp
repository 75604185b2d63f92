// The emulator (kernels/cuda/emulator) itself: threads and shared memory work, every order is what it says, and each
// misuse of CUDA is seen and named.
// label: simt-quick
#include "kernels/cuda/emulator/simt.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/runtime/device.cuh"
#include "tests/support/message_of.h"

namespace dropforge::simt {
namespace {

/// Runs a kernel given as a function object in `blocks` blocks of `threads` threads.
void run(dim3 grid, dim3 block, std::function<void()> kernel, size_t dynamic_bytes = 0,
         Location where = Location::current()) {
    simt::run(
        LaunchShape{grid, block, dynamic_bytes, where}, [](void* f) { (*static_cast<std::function<void()>*>(f))(); },
        &kernel);
}

using test::message_of;

void check_contains(const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
}

__global__ void add_kernel(const float* a, const float* b, float* sum, int n) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < n) sum[i] = a[i] + b[i];
}

TEST_CASE("every thread of every block runs once, with its own index") {
    std::vector<float> a(1000), b(1000, 0.5f), sum(1000, NAN);
    std::iota(a.begin(), a.end(), 0.0f);
    for (const Order order : {Order::forward, Order::reverse, Order::random}) {
        const ScopedOrder scope(order);
        std::ranges::fill(sum, NAN);
        launch(add_kernel, {32, 32, 0, Location::current()}, a.data(), b.data(), sum.data(), 1000);
        for (size_t i = 0; i < 1000; ++i) CHECK(sum[i] == a[i] + 0.5f);
        std::vector<int> seen(2 * 3 * 4 * 5 * 3 * 2);
        run({2, 3, 4}, {5, 3, 2}, [&] {
            const auto block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
            ++seen[((block * blockDim.z + threadIdx.z) * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x];
        });
        CHECK(std::ranges::count(seen, 1) == std::ssize(seen));
    }
}

std::vector<unsigned> threads_in_order(Order order, uint64_t seed, unsigned blocks) {
    const ScopedOrder scope(order, seed);
    std::vector<unsigned> order_seen;
    run(blocks, 70, [&] { order_seen.push_back(blockIdx.x * 70 + threadIdx.x); });
    return order_seen;
}

TEST_CASE("orders: forward, reverse, random by seed") {
    std::vector<unsigned> expected(140);
    std::iota(expected.begin(), expected.end(), 0u);
    CHECK(threads_in_order(Order::forward, 1, 2) == expected);
    const auto first = threads_in_order(Order::random, 1, 2), other = threads_in_order(Order::random, 2, 2);
    CHECK(first == threads_in_order(Order::random, 1, 2));
    CHECK(first != other);
    CHECK(first != expected);
    CHECK(std::ranges::is_permutation(first, expected));
    std::ranges::reverse(expected);
    CHECK(threads_in_order(Order::reverse, 1, 2) == expected);
    CHECK(threads_in_order(Order::forward, 1, 1)[0] == 0);  // a scope ends
}

TEST_CASE("a barrier holds all threads, and the first in order runs ahead to the next") {
    for (const Order order : {Order::forward, Order::reverse, Order::random}) {
        const ScopedOrder scope(order);
        int before = 0, least = 1 << 20, after = 0;
        run(3, 100, [&] {
            ++before;
            __syncthreads();
            least = std::min(least, before);
            __syncthreads();
            ++after;
            if (threadIdx.x == 0) before = 0;
        });
        CHECK(least == 100);
        CHECK(after == 300);
    }
    std::vector<unsigned> seen;
    run(1, 64, [&] {
        __syncwarp();
        seen.push_back(threadIdx.x / 32);
    });
    CHECK((seen[31] == 0 && seen[32] == 1));
}

TEST_CASE("votes of a block count the threads that are still there") {
    run(1, 96, [] {
        if (threadIdx.x >= 80) return;
        CHECK(__syncthreads_count(threadIdx.x % 2 == 0) == 40);
        CHECK(__syncthreads_or(threadIdx.x == 79) == 1);
        CHECK(__syncthreads_or(0) == 0);
    });
}

TEST_CASE("shuffles, votes, partial masks, ended lanes") {
    for (const Order order : {Order::forward, Order::reverse, Order::random}) {
        const ScopedOrder scope(order);
        run(2, 64, [] {
            const int lane = static_cast<int>(threadIdx.x % 32);
            const float value = static_cast<float>(threadIdx.x);
            CHECK(__shfl_xor_sync(~0u, value, 5) == static_cast<float>(threadIdx.x ^ 5u));
            CHECK(__shfl_sync(~0u, lane, 7) == 7);
            CHECK(__shfl_sync(~0u, lane, 3, 8) == lane / 8 * 8 + 3);
            CHECK(__shfl_down_sync(~0u, lane, 4) == (lane < 28 ? lane + 4 : lane));
            CHECK(__shfl_up_sync(~0u, lane, 4, 16) == (lane % 16 < 4 ? lane : lane - 4));
            CHECK(__shfl_xor_sync(~0u, lane, 16, 16) == (lane < 16 ? lane : lane - 16));
            CHECK(__ballot_sync(~0u, lane % 3 == 0) == 0x49249249u);
            CHECK(__match_any_sync(~0u, lane % 2) == (lane % 2 ? 0xaaaaaaaau : 0x55555555u));
            CHECK((__any_sync(~0u, lane == 9) && !__all_sync(~0u, lane == 9) && __all_sync(~0u, lane < 32)));
            if (lane < 8) {
                CHECK(__shfl_xor_sync(0xffu, lane, 3) == (lane ^ 3));
            } else {
                CHECK(__ballot_sync(0xffffff00u, lane < 10) == 0x300u);
            }
            __syncwarp();
            if (lane >= 20) return;
            CHECK(__ballot_sync(~0u, 1) == 0xfffffu);  // those that ended are not waited for
        });
    }
}

void swap_with_neighbour(void* const* lanes) {
    for (int lane = 0; lane < kWarp; lane += 2)
        std::swap(*static_cast<int*>(lanes[lane]), *static_cast<int*>(lanes[lane + 1]));
}

TEST_CASE("what a warp does together sees what all lanes hold") {
    for (const Order order : {Order::forward, Order::reverse, Order::random}) {
        const ScopedOrder scope(order);
        run(2, 64, [] {
            int value = static_cast<int>(threadIdx.x);
            together(&value, swap_with_neighbour, Location::current());
            CHECK(value == static_cast<int>(threadIdx.x ^ 1u));
        });
    }
}

TEST_CASE("late copies arrive when their group is waited for, not before") {
    run(1, 2, [] {
        DROPFORGE_SHARED(int, to, [2][3]);
        const int from[3] = {1, 2, 3};
        int(&out_row)[3] = to[threadIdx.x];
        for (int& value : out_row) value = 0;
        copy_later(&out_row[0], &from[0], sizeof(int));
        end_copy_group();
        copy_later(&out_row[1], &from[1], sizeof(int));
        end_copy_group();
        copy_later(&out_row[2], &from[2], sizeof(int));  // of no group yet
        CHECK((out_row[0] == 0 && out_row[1] == 0 && out_row[2] == 0));
        wait_for_copies(1);
        CHECK((out_row[0] == 1 && out_row[1] == 0 && out_row[2] == 0));
        wait_for_copies(0);
        CHECK((out_row[1] == 2 && out_row[2] == 0));
        copy_later(&out_row[0], nullptr, sizeof(int));
        end_copy_group();
        wait_for_copies(0);
        CHECK((out_row[0] == 0 && out_row[2] == 3));
    });
}

TEST_CASE("shared memory: one for a block, NaN at its start, exact size") {
    float* previous = nullptr;
    run(
        3, 40,
        [&] {
            DROPFORGE_SHARED(float, row, [40]);
            auto* dynamic = static_cast<uint16_t*>(dynamic_shared());
            CHECK(std::isnan(row[threadIdx.x]));
            CHECK(dynamic[threadIdx.x] == 0xffff);
            __syncthreads();
            row[threadIdx.x] = static_cast<float>(threadIdx.x + blockIdx.x);
            dynamic[threadIdx.x] = static_cast<uint16_t>(threadIdx.x);
            __syncthreads();
            CHECK(row[39 - threadIdx.x] == static_cast<float>(39 - threadIdx.x + blockIdx.x));
            CHECK(dynamic[39 - threadIdx.x] == 39 - threadIdx.x);
            previous = row;
        },
        80);
    CHECK(reinterpret_cast<uintptr_t>(previous) % 16 == 0);
    run(1, 1, [] { CHECK(dynamic_shared() == nullptr); });
}

// ------------------------------------------------------------------------------------------------------------ misuse
TEST_CASE("a barrier that threads reach on different lines is divergent") {
    const std::string message = message_of([] {
        run(2, 64, [] {
            if (threadIdx.x < 16)
                __syncthreads();
            else
                __syncthreads();
        });
    });
    check_contains(message, "divergent __syncthreads: other threads wait at");
    check_contains(message, "simt_test.cpp:");
    check_contains(message, "[thread (16, 0, 0)] [block (0, 0, 0)]");
}

TEST_CASE("threads that wait for one another for ever are listed") {
    const std::string message = message_of([] {
        run(1, 64, [] {
            if (threadIdx.x >= 32 && threadIdx.x < 40) __syncwarp(0xffff);
            __syncthreads();
        });
    });
    check_contains(message, "deadlock: 8 threads from 32 on wait at ");
    check_contains(message, "(warp operation, mask 0x0000ffff); 56 threads from 0 on wait at ");
    check_contains(message, "(__syncthreads) [block (0, 0, 0)]");
}

TEST_CASE("lanes of one mask must meet in one operation, and be in their mask") {
    check_contains(message_of([] {
                       run(1, 32, [] {
                           if (threadIdx.x < 16)
                               __syncwarp();
                           else
                               __ballot_sync(~0u, 1);
                       });
                   }),
                   "lanes of one mask meet in different warp operations: others wait at");
    check_contains(message_of([] { run(1, 32, [] { __syncwarp(0xffff); }); }),
                   "lane 16 is not in its own mask 0x0000ffff");
}

TEST_CASE("a shuffle from a lane that does not take part") {
    check_contains(message_of([] {
                       run(1, 32, [] {
                           if (threadIdx.x < 16) __shfl_xor_sync(0xffffu, 1.0f, 16);
                       });
                   }),
                   "shuffle from lane 16, which does not take part");
    check_contains(message_of([] { run(1, 20, [] { __shfl_down_sync(~0u, 1.0f, 4); }); }), "shuffle from lane 20");
}

TEST_CASE("an operation of a whole warp, some of whose lanes have ended") {
    for (const Order order : {Order::forward, Order::reverse})
        check_contains(message_of([&] {
                           const ScopedOrder scope(order);
                           run(1, 32, [] {
                               if (threadIdx.x == 7) return;
                               int value = 0;
                               together(&value, swap_with_neighbour, Location::current());
                           });
                       }),
                       "an operation of a whole warp, some of whose lanes have ended");
}

TEST_CASE("launches that no device takes, by the line of the launch") {
    const auto refused = [](dim3 grid, dim3 block, size_t bytes = 0) {
        return message_of([&] {
            run(
                grid, block, [] { FAIL("ran"); }, bytes);
        });
    };
    for (const std::string& message :
         {refused(1, 1025), refused(1, {32, 32, 2}), refused(1, {1, 1, 65}), refused(0, 32), refused(1, 0),
          refused({1, 65536}, 32), refused({1, 1, 65536}, 32), refused(0x80000000u, 32), refused(1, 32, 49153)}) {
        check_contains(message, "no device takes a launch of grid");
        check_contains(message, "simt_test.cpp:");
    }
}

TEST_CASE("too much static shared memory") {
    check_contains(message_of([] {
                       run(1, 1, [] {
                           DROPFORGE_SHARED(float, wide, [12289]);
                           wide[0] = 0;
                       });
                   }),
                   "49156 bytes of shared memory, of at most 49152");
}

#if !defined(__SANITIZE_ADDRESS__)  // which ends the program at the access itself
TEST_CASE("writes beyond a shared array") {
    for (const int at : {-1, 5}) {
        const std::string message = message_of([&] {
            run(1, 1, [&] {
                DROPFORGE_SHARED(float, narrow, [5]);
                static_cast<float*>(narrow)[at] = 1;
            });
        });
        check_contains(message, at < 0 ? "write before the shared array narrow (20 bytes, "
                                       : "write past the end of the shared array narrow (20 bytes, ");
    }
    check_contains(message_of([] {
                       run(
                           1, 1, [] { static_cast<char*>(dynamic_shared())[7] = 1; }, 7);
                   }),
                   "past the end of the shared array (dynamic) (7 bytes, ");
}
#endif

TEST_CASE("after a failure the next launch runs") {
    for (int i = 0; i < 3; ++i) {
        CHECK(!message_of([] { run(1, 1024, [] { __syncwarp(threadIdx.x % 2 ? 1 : ~0u); }); }).empty());
        std::vector<float> a(7, 1), sum(7);
        launch(add_kernel, {1, 1024, 0, Location::current()}, a.data(), a.data(), sum.data(), 7);
        CHECK(sum == std::vector<float>(7, 2));
    }
}

// -------------------------------------------------------------------------------------------------------------- races
/// Rotates a row through shared memory in two rounds; without its second barrier the second round overwrites what
/// others have yet to read.
std::vector<float> rotate_twice(Order order, bool first_barrier, bool second_barrier) {
    const ScopedOrder scope(order);
    std::vector<float> out(64);
    run(1, 64, [&] {
        DROPFORGE_SHARED(float, row, [64]);
        float value = static_cast<float>(threadIdx.x);
        for (int round = 0; round < 2; ++round) {
            row[threadIdx.x] = value;
            if (first_barrier) __syncthreads();
            value = row[(threadIdx.x + 33) % 64];
            if (second_barrier) __syncthreads();
        }
        out[threadIdx.x] = value;
    });
    return out;
}

TEST_CASE("a missing barrier changes the result") {
    std::vector<float> expected(64);
    for (size_t i = 0; i < 64; ++i) expected[i] = static_cast<float>((i + 66) % 64);
    for (const Order order : {Order::forward, Order::reverse, Order::random}) {
        CHECK(rotate_twice(order, true, true) == expected);
        CHECK(rotate_twice(order, false, true) != expected);  // reads before the write: NaN
        CHECK(rotate_twice(order, true, false) != expected);  // writes before the read
    }
}

TEST_CASE("what depends on the order of blocks differs between orders") {
    const auto last = [](Order order) {
        const ScopedOrder scope(order);
        unsigned winner = 0;
        run(8, 1, [&] { winner = blockIdx.x; });
        return winner;
    };
    CHECK(last(Order::forward) == 7);
    CHECK(last(Order::reverse) == 0);
}

}  // namespace
}  // namespace dropforge::simt
