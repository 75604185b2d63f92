// The characters of counted words: which of them a vocabulary has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/word_counts.h"

namespace dropforge::data {

std::u32string code_points(std::string_view word);

/// Characters by how often they occur, the most frequent first; of equally frequent ones the lower code point.
class Alphabet {
  public:
    explicit Alphabet(const std::vector<WordCounts::Item>& words);

    /// All characters there are; `count` is at most that in what follows.
    size_t size() const { return characters_.size(); }
    /// The `count` most frequent characters, by code point.
    std::u32string most_frequent(size_t count) const;
    /// Their share of all that occur.
    double coverage(size_t count) const;
    /// The tokens that they take: each as it begins a word, and as it stands inside of those words that have no others.
    size_t tokens(size_t count) const { return tokens_[count]; }

    /// The fewest characters with at least this coverage.
    size_t covering(double share) const;
    /// The most characters that take at most so many tokens.
    size_t fitting(size_t tokens) const;

  private:
    std::u32string characters_;
    std::vector<uint64_t> occurrences_;  // of the first 0, 1, … size() characters
    std::vector<size_t> tokens_;         // likewise
};

}  // namespace dropforge::data
