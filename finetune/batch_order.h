// The order in which an epoch takes its items.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace dropforge {

struct OrderOptions {
    int64_t seed = 1, epoch = 1;  // epochs count from 1
    int64_t batch = 32;           // items
    int64_t bucket = 50;          // batches among which items are sorted by length; 0: not
    bool shuffle = true;          // false: the order of the file
};

/// The batches of an epoch, each the places of its items among `lengths`. Every item is in one batch; all but one have
/// `batch` items, that one what is left. A permutation of the items is cut into windows of `bucket` batches; each
/// window is sorted by length (equal ones stay in the permutation's order) and cut into batches, and these are put in
/// random order. Seed and epoch draw the permutation and the orders of the windows, so the batches are a function of
/// the arguments.
std::vector<std::vector<size_t>> epoch_batches(std::span<const int64_t> lengths, const OrderOptions& options);

}  // namespace dropforge
