// Unicode for the tokenizer: conversion from and to UTF-8, general categories, canonical decomposition, lower case.
// Hugging Face's tokenizers mixes several versions of Unicode; data/tokenizer/unicode_tables.h has what differs from
// libutf8proc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dropforge::data {

/// The code point for bytes that are not valid UTF-8.
constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kCodePoints = 0x110000;
/// İ, the one code point whose lower case is two: i and U+0307, a dot above.
constexpr char32_t kDottedI = 0x130;

struct Decoded {
    char32_t code_point;
    uint32_t size;  // bytes, ≥ 1
};

/// The code point at p < end. Invalid input (a stray or missing continuation byte, an overlong form, a surrogate, past
/// U+10FFFF) gives U+FFFD for its longest prefix that could have begun a code point (Unicode 15, 3.9, "maximal
/// subparts"), so a lead byte always begins a new one.
inline Decoded decode_utf8(const char* p, const char* end) {
    const auto byte = [p](int i) { return static_cast<unsigned char>(p[i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    if (lead < 0xC2 || lead > 0xF4) return {kReplacement, 1};
    const uint32_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    // Only the second byte has lead-dependent bounds: they shut out overlong forms, surrogates and what lies past
    // U+10FFFF.
    const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (end - p < 2 || byte(1) < low || byte(1) > high) return {kReplacement, 1};
    char32_t code_point = (lead & (0x7FU >> size)) << 6 | (byte(1) & 0x3FU);
    for (uint32_t i = 2; i < size; ++i) {
        if (end - p <= static_cast<ptrdiff_t>(i) || (byte(static_cast<int>(i)) & 0xC0U) != 0x80)
            return {kReplacement, i};
        code_point = code_point << 6 | (byte(static_cast<int>(i)) & 0x3FU);
    }
    return {code_point, size};
}

/// Writes a code point as 1 to 4 bytes and returns their number.
inline size_t write_utf8(char32_t c, char* out) {
    const auto tail = [c](int shift) { return static_cast<char>(0x80U | (c >> shift & 0x3FU)); };
    if (c < 0x80) {
        out[0] = static_cast<char>(c);
        return 1;
    }
    if (c < 0x800) {
        out[0] = static_cast<char>(0xC0U | c >> 6);
        out[1] = tail(0);
        return 2;
    }
    if (c < 0x10000) {
        out[0] = static_cast<char>(0xE0U | c >> 12);
        out[1] = tail(6);
        out[2] = tail(0);
        return 3;
    }
    out[0] = static_cast<char>(0xF0U | c >> 18);
    out[1] = tail(12);
    out[2] = tail(6);
    out[3] = tail(0);
    return 4;
}

bool is_valid_utf8(std::string_view text);

bool is_punctuation(char32_t c);      // categories P*, and ASCII's symbols ($ + < = > ^ ` | ~)
bool is_separator(char32_t c);        // categories Z*: all of White_Space but the controls U+0009..U+000D and U+0085
bool is_nonspacing_mark(char32_t c);  // category Mn
bool is_control(char32_t c);          // categories Cc, Cf, Co; not unassigned code points
/// Whether c is in the blocks around which BERT splits: CJK ideographs, not kana and not Hangul. In Hugging Face's
/// tokenizers the last but one begins at 2B920, in the original code at 2B820.
bool is_ideograph(char32_t c);
int combining_class(char32_t c);  // 0: a starter
char32_t lower_case(char32_t c);  // the simple mapping, one code point to one

/// The full canonical decomposition of one code point (itself if it has none), not reordered with its neighbours.
struct Decomposition {
    std::array<char32_t, 8> code_points;  // the longest in Unicode has 4
    size_t size;
};
Decomposition decompose(char32_t c);

}  // namespace dropforge::data
