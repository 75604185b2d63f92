// What BERT's normalizer does with each code point, worked out once for all of Unicode.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "data/unicode.h"

namespace dropforge::data {

class CharacterTable {
  public:
    enum class Kind : uint8_t {
        kRemoved,   // vanishes
        kSpace,     // ends a word
        kAlone,     // a word of its own: punctuation, CJK ideograph
        kLetter,    // becomes one code point of a word
        kSequence,  // uncased only: becomes several, or takes part in canonical reordering; see decompose()
    };

    struct Entry {
        int32_t shift : 24;     // normalised code point − code point (kAlone, kLetter)
        uint32_t kind : 7;      // Kind
        uint32_t reorders : 1;  // uncased: not a starter (combining class ≠ 0), or never seen by the decomposition:
                                // marks may move past it

        friend bool operator==(const Entry&, const Entry&) = default;
    };

    /// The table of a mode, made at its first use; lives as long as the program.
    static const CharacterTable& get(bool cased);

    Entry operator[](char32_t c) const { return entries_[blocks_[c / kBlock] + c % kBlock]; }

  private:
    explicit CharacterTable(bool cased);

    static constexpr char32_t kBlock = 128;
    std::array<uint32_t, kCodePoints / kBlock>
        blocks_{};  // where the block begins in entries_; equal blocks are stored once
    std::vector<Entry> entries_;
};

}  // namespace dropforge::data
