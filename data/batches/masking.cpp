#include "data/batches/masking.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace dropforge::data {

namespace {

// One seed serves all uses; a constant for each makes their draws independent.
constexpr uint64_t kOrderKey = 0x53414d504c4f5244;  // "SAMPLORD"
constexpr uint64_t kMaskKey = 0x4d41534b494e4753;   // "MASKINGS"

}  // namespace

SampleOrder::SampleOrder(uint64_t size, uint64_t seed, uint32_t epoch)
    : size_(size), key_(seed ^ kOrderKey), epoch_(epoch) {
    require(size >= 1, "SampleOrder: no samples");
    half_bits_ = std::max(1, (static_cast<int>(std::bit_width(size - 1)) + 1) / 2);
}

uint64_t SampleOrder::encrypt(uint64_t value) const {
    // 4 rounds make a network pseudorandom on large domains; 8 also serve small ones, whose halves are few bits.
    constexpr uint32_t kRounds = 8;
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = value >> half_bits_, right = value & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
        const Philox4 drawn = philox4x32({static_cast<uint32_t>(right), round, epoch_, 0}, key_);
        left = std::exchange(right, left ^ (drawn[0] & mask));
    }
    return left << half_bits_ | right;
}

uint64_t SampleOrder::operator()(uint64_t index) const {
    do {
        index = encrypt(index);
    } while (index >= size_);
    return index;
}

Masker::Masker(const SpecialIds& special, int32_t vocabulary_size, const MaskingOptions& options)
    : special_{special.pad, special.unk, special.cls, special.sep, special.mask},
      vocabulary_size_(vocabulary_size),
      mask_(special.mask),
      options_(options) {
    std::ranges::sort(special_);
    require(vocabulary_size > static_cast<int32_t>(special_.size()),
            "masking: a vocabulary of {} has only special tokens", vocabulary_size);
    require(options.probability > 0 && options.probability <= 1, "mask probability {}: expected above 0 and at most 1",
            options.probability);
    require(options.max_predictions >= 1, "max predictions {}: expected at least 1", options.max_predictions);
    if (!options.mask_token_share) return;
    require(*options.mask_token_share >= 0 && *options.mask_token_share <= 1, "mask token share {}: expected 0 to 1",
            *options.mask_token_share);
    require(!options.whole_word, "masking: whole words cannot keep a fixed count of [MASK]");
}

bool Masker::is_special(int32_t id) const { return std::ranges::find(special_, id) != special_.end(); }

// The draw-th id that is not special.
int32_t Masker::random_token(PhiloxStream& random) const {
    auto id = static_cast<int32_t>(
        random.below(static_cast<uint32_t>(vocabulary_size_) - static_cast<uint32_t>(special_.size())));
    for (const int32_t special : special_) id += id >= special ? 1 : 0;
    return id;
}

// The first steps of a Fisher-Yates shuffle: each set of `count` candidates is equally likely.
void Masker::choose_tokens(PhiloxStream& random, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        std::swap(candidates_[i], candidates_[i + random.below(static_cast<uint32_t>(candidates_.size() - i))]);
        chosen_.push_back(candidates_[i]);
    }
}

void Masker::choose_words(PhiloxStream& random, size_t count, std::span<const uint8_t> word_starts) {
    words_.clear();
    for (size_t i = 0; i < candidates_.size(); ++i) {
        // The pieces of a word are neighbours; pieces of a word that began in the previous sequence count as a word.
        const bool neighbour = i > 0 && candidates_[i] == candidates_[i - 1] + 1;
        if (!neighbour || word_starts[static_cast<size_t>(candidates_[i])] != 0)
            words_.push_back(static_cast<int32_t>(i));
    }
    const auto end_of = [&](int32_t begin) {
        auto end = static_cast<size_t>(begin) + 1;
        while (end < candidates_.size() && candidates_[end] == candidates_[end - 1] + 1 &&
               word_starts[static_cast<size_t>(candidates_[end])] == 0) {
            ++end;
        }
        return end;
    };
    for (size_t i = 0; i < words_.size() && chosen_.size() < count; ++i) {
        std::swap(words_[i], words_[i + random.below(static_cast<uint32_t>(words_.size() - i))]);
        const size_t begin = static_cast<size_t>(words_[i]), end = end_of(words_[i]);
        if (chosen_.size() + (end - begin) > count) continue;
        for (size_t c = begin; c < end; ++c) chosen_.push_back(candidates_[c]);
    }
    if (!chosen_.empty()) return;
    const auto begin = static_cast<size_t>(words_.front());
    for (size_t c = begin; c < begin + count; ++c) chosen_.push_back(candidates_[c]);
}

// 80 % become [MASK], 10 % a random token.
void Masker::change_tokens(PhiloxStream& random, std::span<int32_t> ids) {
    for (const int32_t position : chosen_) {
        const uint32_t fate = random.below(10);
        if (fate < 9) ids[static_cast<size_t>(position)] = fate < 8 ? mask_ : random_token(random);
    }
}

// Gives every sequence the same number of [MASK].
void Masker::change_fixed(PhiloxStream& random, std::span<int32_t> ids) {
    const auto target = std::llround(*options_.mask_token_share * static_cast<double>(options_.max_predictions));
    int64_t left = target - std::ranges::count(ids, mask_);
    require(left >= 0, "masking: a sequence holds {} [MASK], of which it may have {}", target - left, target);
    bool keep = true;
    for (const int32_t position : drawn_) {
        int32_t& id = ids[static_cast<size_t>(position)];
        if (left > 0) {
            id = mask_;
            --left;
            continue;
        }
        if (!keep) id = random_token(random);
        keep = !keep;
    }
    for (size_t i = 1; i < ids.size() && left > 0; ++i)
        if (std::exchange(ids[i], mask_) != mask_) --left;
    require(left == 0, "masking: {} [MASK] do not fit into {} tokens", target, ids.size());
}

int64_t Masker::apply(const SampleKey& key, std::span<int32_t> ids, std::span<const uint8_t> word_starts,
                      const MaskedSlots& slots) {
    candidates_.clear();
    chosen_.clear();
    drawn_.clear();
    for (size_t i = 0; i < ids.size(); ++i) {
        if (!is_special(ids[i])) candidates_.push_back(static_cast<int32_t>(i));
    }
    PhiloxStream random(key.seed ^ kMaskKey, key.sample, key.epoch);
    if (!candidates_.empty()) {
        const auto n = static_cast<int64_t>(candidates_.size());
        const auto rounded = static_cast<int64_t>(std::floor(options_.probability * static_cast<double>(n) + 0.5));
        const int64_t target = options_.mask_token_share ? n : std::max<int64_t>(1, rounded);
        const auto count = static_cast<size_t>(std::min(options_.max_predictions, target));
        if (options_.whole_word) {
            choose_words(random, count, word_starts);
        } else {
            choose_tokens(random, count);
        }
        drawn_ = chosen_;
        std::ranges::sort(chosen_);
    }
    size_t slot = 0;
    for (; slot < chosen_.size(); ++slot) {
        slots.positions[slot] = chosen_[slot];
        slots.labels[slot] = ids[static_cast<size_t>(chosen_[slot])];
        slots.weights[slot] = 1;
    }
    if (options_.mask_token_share)
        change_fixed(random, ids);
    else
        change_tokens(random, ids);
    for (; slot < slots.positions.size(); ++slot) {
        slots.positions[slot] = static_cast<int32_t>(ids.size()) - 1;
        slots.labels[slot] = ids.back();
        slots.weights[slot] = 0;
    }
    return static_cast<int64_t>(chosen_.size());
}

}  // namespace dropforge::data
