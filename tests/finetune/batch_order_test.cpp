// The batches of an epoch: every item once, by seed and epoch, of like lengths.
#include "finetune/batch_order.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "base/philox.h"

using namespace dropforge;

namespace {

using Batches = std::vector<std::vector<size_t>>;

std::vector<int64_t> some_lengths(size_t count, uint32_t different) {
    PhiloxStream random(1, 0);
    std::vector<int64_t> lengths;
    for (size_t i = 0; i < count; ++i) lengths.push_back(3 + random.below(different));
    return lengths;
}

std::vector<size_t> joined(const Batches& batches) {
    std::vector<size_t> places;
    for (const auto& batch : batches) places.insert(places.end(), batch.begin(), batch.end());
    return places;
}

}  // namespace

TEST_CASE("an epoch takes every item once; all batches but one are full") {
    for (const bool shuffle : {false, true})
        for (const int64_t bucket : {0, 1, 2, 50})
            for (const size_t count : {0, 1, 7, 8, 9, 31, 32, 200}) {
                CAPTURE(count);
                CAPTURE(bucket);
                const Batches batches =
                    epoch_batches(some_lengths(count, 20), {.batch = 8, .bucket = bucket, .shuffle = shuffle});
                std::vector<size_t> places = joined(batches);
                if (!shuffle) CHECK(std::ranges::is_sorted(places));
                std::ranges::sort(places);
                REQUIRE(places.size() == count);
                for (size_t i = 0; i < count; ++i) CHECK(places[i] == i);
                CHECK(batches.size() == (count + 7) / 8);
                CHECK(std::ranges::count(batches, 8U, &std::vector<size_t>::size) == static_cast<ptrdiff_t>(count / 8));
            }
}

TEST_CASE("the order is a function of seed and epoch") {
    const std::vector<int64_t> lengths = some_lengths(40, 20);
    for (const int64_t bucket : {0, 3}) {
        const auto order = [&](int64_t seed, int64_t epoch) {
            return epoch_batches(lengths, {.seed = seed, .epoch = epoch, .batch = 4, .bucket = bucket});
        };
        CHECK(order(1, 1) == order(1, 1));
        std::set<Batches> orders = {epoch_batches(lengths, {.batch = 4, .shuffle = false})};
        for (const int64_t seed : {1, 2, 3})
            for (const int64_t epoch : {1, 2, 3}) orders.insert(order(seed, epoch));
        CHECK(orders.size() == 10);
    }
}

TEST_CASE("every order is as likely as another") {
    // 3 items in batches of 1 have 6 orders. A fair draw of 6000 counts each 1000 times, with a deviation of 29; six
    // deviations would be missed by a fair one with a probability of 1e-8.
    std::map<std::vector<size_t>, int> counts;
    for (int64_t seed = 0; seed < 6000; ++seed)
        ++counts[joined(epoch_batches(std::vector<int64_t>{5, 5, 5}, {.seed = seed, .batch = 1, .bucket = 0}))];
    CHECK(counts.size() == 6);
    for (const auto& [order, count] : counts) CHECK(std::abs(count - 1000) < 174);
}

TEST_CASE("a window's batches are of like lengths, and come in random order") {
    const std::vector<int64_t> lengths = some_lengths(400, 1000);
    const Batches batches = epoch_batches(lengths, {.batch = 10, .bucket = 20});
    bool ascending = true;
    for (size_t window = 0; window < 2; ++window) {
        std::vector<std::pair<int64_t, int64_t>> ranges;  // shortest and longest of each batch
        for (size_t i = 20 * window; i < 20 * window + 20; ++i) {
            const auto [low, high] = std::ranges::minmax(batches[i], {}, [&](size_t place) { return lengths[place]; });
            ranges.emplace_back(lengths[low], lengths[high]);
        }
        ascending = ascending && std::ranges::is_sorted(ranges);
        std::ranges::sort(ranges);
        for (size_t i = 1; i < ranges.size(); ++i) CHECK(ranges[i - 1].second <= ranges[i].first);
    }
    CHECK_FALSE(ascending);
}

TEST_CASE("equal lengths keep the order of the permutation") {
    const std::vector<int64_t> equal(12, 7);
    const OrderOptions options{.batch = 12, .bucket = 1};
    CHECK(epoch_batches(equal, options) == epoch_batches(equal, {.batch = 12, .bucket = 0}));
}
