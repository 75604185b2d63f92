// The traffic counter: figures that are known by hand, in every order of threads.
#include "kernels/cuda/emulator/checks/traffic.h"

#include <doctest/doctest.h>

#include <functional>
#include <new>
#include <vector>

#include "tests/simt_checks/traffic_kernels.h"

namespace dropforge::simt {
namespace {

using namespace traffic_kernels;

constexpr int kNumbers = 4096;

/// x and y with room for the strides below, from a sector's beginning.
struct Counted {
    std::vector<LaunchTraffic> launches;

    template <typename X, typename Y>
    Counted(const std::function<void(X*, Y*)>& kernel, Order order, int numbers_of_x = kNumbers) {
        struct alignas(256) Line {
            std::byte bytes[256];
        };
        std::vector<Line> x(static_cast<size_t>(numbers_of_x) * sizeof(X) / 256 + 1),
            y(static_cast<size_t>(kNumbers) * sizeof(Y) / 256 + 1);
        TrafficCounter counter;
        counter.name("x", x.data(), numbers_of_x * static_cast<int64_t>(sizeof(X)));
        counter.name("y", y.data(), kNumbers * static_cast<int64_t>(sizeof(Y)));
        const ScopedObserver scope(counter);
        const ScopedOrder ordered(order);
        kernel(reinterpret_cast<X*>(x.data()), reinterpret_cast<Y*>(y.data()));
        launches = counter.take_launches();
        REQUIRE(launches.size() == 1);
        REQUIRE(launches[0].buffers.size() == 2);
    }
    const Traffic& x() const { return launches[0].buffers[0].read; }
    const Traffic& y() const { return launches[0].buffers[1].written; }
};

/// Requests, and bytes and sectors of one request.
void check(const Traffic& t, int64_t requests, int64_t bytes, int64_t sectors) {
    CHECK(t.requests == requests);
    CHECK(t.bytes == requests * bytes);
    CHECK(t.sectors == requests * sectors);
}

void in_every_order(const std::function<void(Order)>& test) {
    for (const Order order : {Order::forward, Order::reverse, Order::random}) test(order);
}

using Floats = std::function<void(float*, float*)>;

TEST_CASE("traffic: strides and offsets") {
    in_every_order([](Order order) {
        const auto copied = [&](int stride, int offset) {
            return Counted(Floats([&](float* x, float* y) { copy(x, y, kNumbers, stride, offset); }), order,
                           kNumbers * stride + 8);
        };
        const Counted plain = copied(1, 0);
        check(plain.x(), 128, 128, 4);
        check(plain.y(), 128, 128, 4);
        CHECK(plain.x().distinct_bytes == 4 * kNumbers);
        CHECK(plain.x().sectors_of_blocks == 4 * 128);
        CHECK(plain.launches[0].buffers[0].written.requests == 0);
        check(copied(2, 0).x(), 128, 128, 8);
        check(copied(8, 0).x(), 128, 128, 32);
        check(copied(1, 1).x(), 128, 128, 5);
        CHECK(copied(8, 0).x().distinct_sectors == kNumbers);
    });
}

TEST_CASE("traffic: packs are one access, single numbers are not") {
    in_every_order([](Order order) {
        using Narrow = std::function<void(uint16_t*, uint16_t*)>;
        const Counted packs(Narrow([](uint16_t* x, uint16_t* y) { copy_packs(x, y, kNumbers); }), order);
        check(packs.x(), 16, 512, 16);
        check(packs.y(), 16, 512, 16);
        const Counted wide(
            std::function<void(uint16_t*, float*)>([](uint16_t* x, float* y) { widen_packs(x, y, kNumbers); }), order);
        check(wide.x(), 16, 512, 16);
        check(wide.y(), 16, 1024, 32);
        const Counted single(Narrow([](uint16_t* x, uint16_t* y) { copy_neighbours(x, y, kNumbers); }), order);
        check(single.x(), 128, 64, 16);  // an eighth of each sector
        check(single.y(), 128, 64, 16);
        CHECK(single.x().sectors_of_blocks == 16 * 16);
    });
}

TEST_CASE("traffic: what is read again, by the block itself or by another") {
    in_every_order([](Order order) {
        const auto read = [&](bool again, bool others) {
            return Counted(Floats([&](float* x, float* y) { read_again(x, y, kNumbers, again, others); }), order);
        };
        constexpr int64_t all = 128 * 4, blocks = 32;  // sectors of x
        const int64_t first = 128;                     // requests of x[0], a sector each
        const int64_t other_blocks = blocks - 1;       // which find x[0] not in what they copy
        CHECK(read(false, false).x().sectors == all + first);
        CHECK(read(false, false).x().sectors_of_blocks == all + other_blocks);
        CHECK(read(true, false).x().sectors == 2 * all + first);
        CHECK(read(true, false).x().sectors_of_blocks == all + other_blocks);
        CHECK(read(false, true).x().sectors == 2 * all + first);
        CHECK(read(false, true).x().sectors_of_blocks >= 2 * all + other_blocks - 1);
        CHECK(read(true, true).x().distinct_sectors == all);
    });
}

TEST_CASE("traffic: columns instead of rows") {
    in_every_order([](Order order) {
        const Counted transposed(Floats([](float* x, float* y) { transpose(x, y, 64); }), order);
        check(transposed.x(), 128, 128, 4);
        check(transposed.y(), 128, 128, 32);
    });
}

TEST_CASE("traffic: atomic functions read and write; lanes of one address share") {
    in_every_order([](Order order) {
        const Counted counted(
            std::function<void(int*, int*)>([](int* x, int* count) { histogram(x, count, kNumbers); }), order);
        check(counted.y(), 128, 4, 1);
        check(counted.launches[0].buffers[1].read, 128, 4, 1);
    });
}

TEST_CASE("traffic: lanes that do not take part, warps that are not whole") {
    in_every_order([](Order order) {
        const Counted half(Floats([](float* x, float* y) { copy_half(x, y, 400); }), order);
        CHECK(half.x().requests == 20);  // ten blocks of a whole warp and a quarter
        CHECK(half.x().bytes == 200 * 4);
        CHECK(half.x().sectors == 10 * 5);
        CHECK(half.y().bytes == 200 * 4);
    });
}

}  // namespace
}  // namespace dropforge::simt
