// The switches of BERT's normalizer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dropforge::data {

struct Normalization {
    bool lower_case = true;
    bool strip_accents = true;     // decompose, and drop non-spacing marks
    bool split_ideographs = true;  // each CJK ideograph is a word of its own; Hugging Face: tokenize_chinese_chars

    friend bool operator==(const Normalization&, const Normalization&) = default;

    /// The switches as words: "uncased", "cased", with differences from the usual ones: "cased, accents stripped".
    std::string text() const;
};

/// A code point of normalised text, and which code point of the text it comes from, counted from 0.
struct NormalizedCharacter {
    char32_t code_point;
    int32_t origin;
};

/// What normalize() gives, character by character.
std::vector<NormalizedCharacter> normalized_characters(std::string_view text, const Normalization& normalization);

/// The text as BERT's normalizer leaves it, before it is cut into words: one rule after another. BasicTokenizer does
/// the same by table, without a copy; this is for the rare text that something is looked for in.
std::string normalize(std::string_view text, const Normalization& normalization);

inline constexpr Normalization kUncased{}, kCased{.lower_case = false, .strip_accents = false};

}  // namespace dropforge::data
