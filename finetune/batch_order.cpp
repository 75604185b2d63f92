#include "finetune/batch_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/philox.h"

namespace dropforge {

namespace {

using Places = std::vector<size_t>;

constexpr uint64_t kOrderKey = 0x45504f43484f5244;  // "EPOCHORD"

/// Fisher and Yates' shuffle.
template <typename T>
void shuffle(std::span<T> items, PhiloxStream& random) {
    for (size_t left = items.size(); left > 1; --left)
        std::swap(items[left - 1], items[random.below(static_cast<uint32_t>(left))]);
}

std::vector<Places> cut(std::span<const size_t> places, int64_t batch) {
    std::vector<Places> batches;
    while (!places.empty()) {
        const size_t count = std::min(places.size(), static_cast<size_t>(batch));
        batches.emplace_back(places.begin(), places.begin() + static_cast<ptrdiff_t>(count));
        places = places.subspan(count);
    }
    return batches;
}

}  // namespace

std::vector<Places> epoch_batches(std::span<const int64_t> lengths, const OrderOptions& options) {
    Places order(lengths.size());
    std::iota(order.begin(), order.end(), size_t{0});
    if (!options.shuffle) return cut(order, options.batch);
    const uint64_t key = static_cast<uint64_t>(options.seed) ^ kOrderKey, epoch = static_cast<uint64_t>(options.epoch);
    PhiloxStream permutation(key, epoch, 0), of_batches(key, epoch, 1);
    shuffle(std::span(order), permutation);
    if (options.bucket == 0) return cut(order, options.batch);
    std::vector<Places> batches;
    for (std::span<size_t> rest = order; !rest.empty();) {
        const std::span window = rest.first(std::min(rest.size(), static_cast<size_t>(options.batch * options.bucket)));
        rest = rest.subspan(window.size());
        std::ranges::stable_sort(window, {}, [&](size_t place) { return lengths[place]; });
        std::vector<Places> sorted = cut(window, options.batch);
        shuffle(std::span(sorted), of_batches);
        std::ranges::move(sorted, std::back_inserter(batches));
    }
    return batches;
}

}  // namespace dropforge
