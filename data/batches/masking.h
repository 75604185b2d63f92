// Sample order and MLM masks, as pure functions of (seed, epoch, sample): ranks, batch sizes, threads and shard sizes
// don't enter.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/philox.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

/// A permutation of [0, size) of one epoch, computed at any point without memory: a Feistel network with Philox as its
/// round function (Luby and Rackoff 1988) on the next power of 4, applied again while the result is outside (cycle
/// walking, Black and Rogaway 2002).
class SampleOrder {
  public:
    /// size ≥ 1.
    SampleOrder(uint64_t size, uint64_t seed, uint32_t epoch);
    /// index < size.
    uint64_t operator()(uint64_t index) const;

  private:
    uint64_t encrypt(uint64_t value) const;

    uint64_t size_, key_;
    uint32_t epoch_;
    int half_bits_ = 1;
};

struct MaskingOptions {
    double probability = 0.15;    // share of the non-special tokens
    int64_t max_predictions = 0;  // M, slots a sequence
    bool whole_word = false;      // all pieces of a word or none
    /// If set, counts that are the same in every sequence: see Masker. Not with whole_word.
    std::optional<double> mask_token_share = {};
};

/// The coordinates of a draw.
struct SampleKey {
    uint64_t seed;
    uint32_t epoch;
    uint64_t sample;
};

/// Where the masked tokens of one sequence go, each [M].
struct MaskedSlots {
    std::span<int32_t> positions, labels;
    std::span<float> weights;
};

/// Masks sequences as BERT does: of n tokens that are not special, min(M, max(1, round(probability·n))) are chosen
/// (none if n = 0); of these 80 % become [MASK], 10 % a random token that is not special, 10 % stay. [UNK] is special:
/// neither masked nor put in. With whole_word words are taken in random order while they fit, so that count may be
/// missed by less than the shortest word left over; if no word fits, the first one drawn is cut.
///
/// With a mask_token_share, min(M, n) tokens are chosen, and every sequence gets exactly C = round(share·M) [MASK]: the
/// first C chosen, the others in turn stay and become a random token. Where there are too few tokens, others after the
/// first position become [MASK] too, without a slot; a [MASK] that was there counts. Not thread-safe (scratch memory).
class Masker {
  public:
    Masker(const SpecialIds& special, int32_t vocabulary_size, const MaskingOptions& options);

    /// Changes ids [S] in place and fills the slots [M]: positions ascending, labels (the ids before), weights 1; then
    /// unused slots with weight 0 and position S−1. word_starts [S] is read with whole_word only. Returns the number of
    /// masked tokens. Throws Error if a sequence has more [MASK] than it is to get.
    int64_t apply(const SampleKey& key, std::span<int32_t> ids, std::span<const uint8_t> word_starts,
                  const MaskedSlots& slots);

  private:
    void choose_tokens(PhiloxStream& random, size_t count);
    void choose_words(PhiloxStream& random, size_t count, std::span<const uint8_t> word_starts);
    void change_tokens(PhiloxStream& random, std::span<int32_t> ids);
    void change_fixed(PhiloxStream& random, std::span<int32_t> ids);
    bool is_special(int32_t id) const;
    int32_t random_token(PhiloxStream& random) const;

    std::vector<int32_t> special_;  // ascending
    int32_t vocabulary_size_, mask_;
    MaskingOptions options_;
    // candidates: positions; words: where each begins in candidates, and the end; drawn: chosen, as they were drawn
    std::vector<int32_t> candidates_, words_, chosen_, drawn_;
};

}  // namespace dropforge::data
