// The table of BERT's normalizer: its effect on each code point of Unicode.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/tokenizer/normalization.h"
#include "data/tokenizer/unicode.h"

namespace dropforge::data {

class CharacterTable {
  public:
    enum class Kind : uint8_t {
        kRemoved,   // vanishes
        kSpace,     // ends a word
        kAlone,     // a word of its own: punctuation, CJK ideograph
        kLetter,    // becomes one code point of a word
        kSequence,  // becomes several, or takes part in canonical reordering; see decompose()
    };

    struct Entry {
        int32_t shift : 24;     // normalised code point − code point (kAlone, kLetter)
        uint32_t kind : 7;      // Kind
        uint32_t reorders : 1;  // accents stripped: not a starter (combining class ≠ 0), or never seen by the
                                // decomposition: marks may move past it

        friend bool operator==(const Entry&, const Entry&) = default;
    };

    /// The table for these switches, computed at its first use, which lives as long as the program. Thread-safe.
    static const CharacterTable& get(const Normalization& normalization);

    Entry operator[](char32_t c) const { return entries_[blocks_[c / kBlock] + c % kBlock]; }

  private:
    explicit CharacterTable(const Normalization& normalization);

    static constexpr char32_t kBlock = 128;
    std::array<uint32_t, kCodePoints / kBlock>
        blocks_{};  // the index in entries_ of each block; equal blocks are stored once
    std::vector<Entry> entries_;
};

}  // namespace dropforge::data
