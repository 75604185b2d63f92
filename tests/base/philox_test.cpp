#include "base/philox.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

using namespace dropforge;

TEST_CASE("philox4x32-10 gives the known answers of Random123") {
    CHECK(philox4x32({0, 0, 0, 0}, 0) == Philox4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, ~uint64_t{0}) == Philox4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
          Philox4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
    static_assert(philox4x32({0, 0, 0, 0}, 0)[0] == 0x6627e8d5);
}

TEST_CASE("a stream is the blocks of its counters, one after another") {
    const uint64_t key = 0x0123456789abcdef, stream = 0xfedcba9876543210;
    PhiloxStream words(key, stream, 5);
    for (uint32_t block = 0; block < 3; ++block)
        for (uint32_t word : philox4x32({block, 5, 0x76543210, 0xfedcba98}, key)) CHECK(words.next() == word);
}

TEST_CASE("streams of other keys, numbers or parts differ") {
    const uint32_t first = PhiloxStream(1, 2, 3).next();
    CHECK(PhiloxStream(1, 2, 3).next() == first);
    CHECK(PhiloxStream(2, 2, 3).next() != first);
    CHECK(PhiloxStream(1, 3, 3).next() != first);
    CHECK(PhiloxStream(1, uint64_t{2} << 32, 3).next() != first);
    CHECK(PhiloxStream(1, 2, 4).next() != first);
}

TEST_CASE("below: in range, every value, evenly") {
    PhiloxStream random(11, 0);
    for (int i = 0; i < 100; ++i) CHECK(random.below(1) == 0);
    constexpr uint32_t kValues = 6;
    constexpr int kDraws = 60'000;
    std::vector<int> count(kValues);
    for (int i = 0; i < kDraws; ++i) ++count.at(random.below(kValues));
    double chi_squared = 0;
    for (int n : count) chi_squared += (n - 1e4) * (n - 1e4) / 1e4;
    CHECK(chi_squared < 20.5);  // 99.9 % quantile for 5 degrees of freedom

    // 3 * 2^30 is where a plain product or remainder gives some values twice as often: the lower third must have a
    // third of the draws.
    int low = 0;
    for (int i = 0; i < kDraws; ++i) low += random.below(3u << 30) < 1u << 30;
    CHECK(std::abs(low - kDraws / 3) < 380);  // 3.3 standard deviations of a binomial
    int even = 0;
    for (int i = 0; i < kDraws; ++i) even += random.below(3u << 30) % 3 == 0;
    CHECK(std::abs(even - kDraws / 3) < 380);
}

TEST_CASE("uniform: in [0, 1), mean one half") {
    PhiloxStream random(12, 0);
    double sum = 0;
    for (int i = 0; i < 10'000; ++i) {
        const double u = random.uniform();
        REQUIRE(u >= 0);
        REQUIRE(u < 1);
        sum += u;
    }
    CHECK(std::abs(sum / 1e4 - 0.5) < 0.0095);  // 3.3 standard errors
}
