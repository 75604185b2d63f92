// The characters of counted words, and the choice of those for a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/word_counts.h"

namespace dropforge::data {

std::u32string code_points(std::string_view word);

/// Characters in order of frequency, the most frequent first; of equally frequent ones the lower code point.
class Alphabet {
  public:
    explicit Alphabet(const std::vector<WordCounts::Item>& words);

    /// The number of characters, which is the maximum of `count` below.
    size_t size() const { return characters_.size(); }
    /// The `count` most frequent characters, by code point.
    std::u32string most_frequent(size_t count) const;
    /// The share of these among all occurrences.
    double coverage(size_t count) const;
    /// The number of tokens for the `count` most frequent: each at the start of a word, and inside words that have no
    /// other characters.
    size_t tokens(size_t count) const { return tokens_[count]; }

    /// The fewest characters with at least this coverage.
    size_t covering(double share) const;
    /// The largest number of characters for which `room` tokens are enough.
    size_t fitting(size_t tokens) const;

  private:
    std::u32string characters_;
    std::vector<uint64_t> occurrences_;  // of the first 0, 1, … size() characters
    std::vector<size_t> tokens_;         // likewise
};

}  // namespace dropforge::data
