#include "data/tokenizer/word_counts.h"

#include <xxhash.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"

namespace dropforge::data {

namespace {

uint64_t hash_of(std::string_view word) { return XXH3_64bits(word.data(), word.size()); }
uint16_t tag_of(uint64_t hash) { return static_cast<uint16_t>(hash >> 48); }

}  // namespace

/// The word's slot, or the free one where it belongs.
size_t WordCounts::find(std::string_view word, uint64_t hash) const {
    const size_t mask = slots_.size() - 1;
    size_t at = hash & mask;
    while (slots_[at].count > 0 && (slots_[at].tag != tag_of(hash) || word_of(slots_[at]) != word))
        at = (at + 1) & mask;
    return at;
}

void WordCounts::grow() {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
    for (const Slot& slot : old) {
        if (slot.count > 0) slots_[find(word_of(slot), hash_of(word_of(slot)))] = slot;
    }
}

void WordCounts::add(std::string_view word, uint64_t count) {
    if (count == 0) return;
    const uint64_t hash = hash_of(word);
    size_t at = find(word, hash);
    if (slots_[at].count == 0) {
        require(word.size() <= std::numeric_limits<uint16_t>::max(), "a word of {} bytes; at most 65535 can be counted",
                word.size());
        require(bytes_.size() + word.size() <= std::numeric_limits<uint32_t>::max(),
                "{} different words: too many to count", used_);
        if (++used_ * 2 > slots_.size()) {
            grow();
            at = find(word, hash);
        }
        slots_[at] = {0, static_cast<uint32_t>(bytes_.size()), static_cast<uint16_t>(word.size()), tag_of(hash)};
        bytes_ += word;
    }
    slots_[at].count += count;
}

void WordCounts::add(const WordCounts& other) {
    for (const Slot& slot : other.slots_) {
        if (slot.count > 0) add(other.word_of(slot), slot.count);
    }
}

uint64_t WordCounts::count(std::string_view word) const { return slots_[find(word, hash_of(word))].count; }

size_t WordCounts::prune(uint64_t least) {
    WordCounts kept;
    for (const Slot& slot : slots_) {
        if (slot.count >= least) kept.add(word_of(slot), slot.count);
    }
    const size_t forgotten = used_ - kept.used_;
    *this = std::move(kept);
    return forgotten;
}

std::vector<WordCounts::Item> WordCounts::sorted() const& {
    std::vector<Item> items;
    items.reserve(used_);
    for (const Slot& slot : slots_) {
        if (slot.count > 0) items.push_back({word_of(slot), slot.count});
    }
    std::ranges::sort(items, {}, &Item::word);
    return items;
}

}  // namespace dropforge::data
