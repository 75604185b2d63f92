// BERT's basic tokenization: text is cleaned and split into words at white space and around every punctuation mark and
// CJK ideograph; uncased, it is also decomposed (NFD), loses non-spacing marks and becomes lower case, one code point
// at a time. The rules are those of Hugging Face's BertNormalizer (clean_text, and its switches) and BertPreTokenizer.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "data/tokenizer/ascii_run.h"
#include "data/tokenizer/normalization.h"

namespace dropforge::data {

/// The longest word, in code points; WordPiece turns longer ones into [UNK].
constexpr uint32_t kMaxWordCodePoints = 100;

/// A normalised word in UTF-8, valid until the next one. At least 16 bytes are readable: zeros follow a shorter word.
struct Word {
    const char* bytes;
    uint32_t size;
    bool too_long;  // more than kMaxWordCodePoints; bytes holds no more than these

    std::string_view view() const { return {bytes, size}; }
};

class CharacterTable;

/// Splits text into words. Not thread-safe, as it holds the current word; cheap to copy.
class BasicTokenizer {
  public:
    explicit BasicTokenizer(const Normalization& normalization);

    const Normalization& normalization() const { return normalization_; }

    /// Calls sink(const Word&) for every word of `text`, in order. Invalid UTF-8 is read as U+FFFD, which the rules
    /// remove. Allocates nothing.
    template <typename Sink>
    void split(std::string_view text, Sink&& sink) {
        const char *p = text.data(), *end = p + text.size();
        if (text.size() >= kRunBytes) p = split_readable(p, end - kRunBytes + 1, end, sink);
        if (p >= end) return;
        // The last bytes again in a buffer, so that 16 bytes can be read at each; spaces end the last word.
        std::array<char, 2 * kRunBytes> tail;
        tail.fill(' ');
        const auto size = static_cast<size_t>(end - p);
        std::memcpy(tail.data(), p, size);
        split_readable(tail.data(), tail.data() + size, tail.data() + size, sink);
    }

    /// The number of bytes of `text` after which it can be divided without changing its words: up to and including the
    /// last white space, punctuation mark or ideograph. 0 if there is none, so that `text` is part of one word: the
    /// caller reads more, or, after a few hundred bytes, divides it anyway, since such a word is too long (each part
    /// then gives an [UNK]).
    size_t safe_cut(std::string_view text) const;

  private:
    enum : uint8_t {
        kOther,
        kSpace,
        kAlone
    };  // what ends a run of ASCII letters and digits: kOther needs the full rules
    static constexpr std::array<uint8_t, 256> kEnds = [] {
        std::array<uint8_t, 256> ends{};
        for (unsigned c = 0x21; c < 0x7F; ++c)
            ends[c] = kAlone;  // all that is printable, for a run leaves no letters and digits
        for (const unsigned char c : {' ', '\t', '\n', '\r'}) ends[c] = kSpace;
        return ends;
    }();

    /// Words that begin in [p, stop); each byte there is followed by 16 that can be read, and text ends at `end`.
    /// Returns where it stopped.
    template <typename Sink>
    const char* split_readable(const char* p, const char* stop, const char* end, Sink& sink) {
        while (p < stop) {
            const unsigned run = ascii_run(p, normalization_.lower_case, word_.data());
            const uint8_t ends = run == kRunBytes ? uint8_t{kOther} : kEnds[static_cast<unsigned char>(p[run])];
            if (ends == kOther) {
                Word word{word_.data(), 0, false};
                p = next_word(p, end, word);
                if (word.size > 0) sink(static_cast<const Word&>(word));
                continue;
            }
            if (run > 0) sink(Word{word_.data(), run, false});
            p += run;
            if (ends == kSpace) {
                ++p;
            } else if (run == 0) {
                std::memset(word_.data(), 0, kRunBytes);
                word_[0] = *p++;
                sink(Word{word_.data(), 1, false});
            }
        }
        return p;
    }

    /// The full rules, a code point at a time: puts the next word that begins at or after p < end into word_, none
    /// (size 0) if only white space and removed characters come. Returns the position after it, > p.
    const char* next_word(const char* p, const char* end, Word& word);

    Normalization normalization_;
    const CharacterTable* table_;
    std::array<char, 4 * kMaxWordCodePoints> word_{};
};

}  // namespace dropforge::data
