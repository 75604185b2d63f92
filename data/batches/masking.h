// The order of samples and the MLM masks, as pure functions of (seed, epoch, sample): they do not depend on ranks,
// batch sizes, threads or shards.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/philox.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

/// The order of one epoch: a permutation of [0, size) that is computed for single indices, without a table. It is a
/// Feistel network with Philox as its round function (Luby and Rackoff 1988) on the next power of 4, applied again
/// while the result is out of range (cycle walking, Black and Rogaway 2002).
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
    double probability = 0.15;    // share of the non-special tokens that are chosen
    int64_t max_predictions = 0;  // M, number of slots of a sequence
    bool whole_word = false;      // mask all pieces of a word or none
    /// If set, every sequence has the same number of [MASK] (see Masker). Not with whole_word.
    std::optional<double> mask_token_share = {};
};

/// The sample whose masks are drawn.
struct SampleKey {
    uint64_t seed;
    uint32_t epoch;
    uint64_t sample;
};

/// The places of a sequence's masked tokens in a batch, each [M].
struct MaskedSlots {
    std::span<int32_t> positions, labels;
    std::span<float> weights;
};

/// Masks sequences as BERT does. Of n non-special tokens min(M, max(1, round(probability·n))) are chosen (none if n =
/// 0). Of these 80 % become [MASK], 10 % a random non-special token, and 10 % are unchanged. [UNK] is special: it is
/// neither chosen nor drawn. With whole_word, words are taken in random order while they fit, so that the number chosen
/// may be smaller, by less than the shortest word that is left; if no word fits, the first one is cut.
///
/// With a mask_token_share, min(M, n) tokens are chosen, and every sequence gets exactly C = round(share·M) [MASK]: the
/// first C chosen become [MASK]; of the others every second becomes a random token, and the rest are unchanged. If
/// fewer than C are chosen, further tokens after the first position become [MASK], without a slot. [MASK] in the text
/// counts towards C. Not thread-safe, as it has scratch memory.
class Masker {
  public:
    Masker(const SpecialIds& special, int32_t vocabulary_size, const MaskingOptions& options);

    /// Masks ids [S] in place and fills the slots [M]: ascending positions, labels (the original ids) and weight 1;
    /// unused slots at the end get weight 0 and position S−1. word_starts [S] is read only with whole_word. Returns the
    /// number of chosen tokens. Error if the sequence already has more [MASK] than C.
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
    // candidates: positions; words: the index in candidates at which each begins, and the end; drawn: the chosen ones
    // in order of drawing
    std::vector<int32_t> candidates_, words_, chosen_, drawn_;
};

}  // namespace dropforge::data
