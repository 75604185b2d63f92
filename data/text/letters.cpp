#include "data/text/letters.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

constexpr char32_t kSigma = 0x3A3, kSmallSigma = 0x3C3, kFinalSigma = 0x3C2, kDotAbove = 0x307;

struct Range {
    char32_t first, last;
};

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

/// Unicode's Cased, but for what is Case_Ignorable too (which final_sigma passes over first): categories Lu, Ll, Lt,
/// and Other_Lowercase and Other_Uppercase among other categories.
bool is_cased(char32_t c) {
    static constexpr Range kOthers[] = {{0xAA, 0xAA},       {0xBA, 0xBA},       {0x2160, 0x217F},  {0x24B6, 0x24E9},
                                        {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};
    const utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LT) ||
           std::ranges::any_of(kOthers, [c](const Range& range) { return c >= range.first && c <= range.last; });
}

/// Unicode's Case_Ignorable: categories Mn, Me, Cf, Lm, Sk, and what may stand inside of a word (Word_Break =
/// MidLetter, MidNumLet or Single_Quote).
bool is_case_ignorable(char32_t c) {
    static constexpr char32_t kInside[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                           0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
    const utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_ME || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_LM || k == UTF8PROC_CATEGORY_SK || std::ranges::binary_search(kInside, c);
}

/// Whether the sigma at `at` ends a word (Unicode's Final_Sigma): the next letter before it is cased, and none after
/// it.
bool is_final(const std::u32string& text, size_t at) {
    const auto before = std::find_if_not(std::make_reverse_iterator(text.begin() + static_cast<ptrdiff_t>(at)),
                                         text.rend(), is_case_ignorable);
    const auto after = std::find_if_not(text.begin() + static_cast<ptrdiff_t>(at) + 1, text.end(), is_case_ignorable);
    return before != text.rend() && is_cased(*before) && (after == text.end() || !is_cased(*after));
}

}  // namespace

std::string in_small_letters(std::string_view text) {
    std::u32string code_points;
    for (const char *p = text.data(), *end = p + text.size(); p < end;) {
        const auto [c, size] = decode_utf8(p, end);
        code_points += c;
        p += size;
    }
    std::string result;
    const auto append = [&result](char32_t c) {
        char bytes[4];
        result.append(bytes, write_utf8(c, bytes));
    };
    for (size_t i = 0; i < code_points.size(); ++i) {
        const char32_t c = code_points[i];
        append(c == kDottedI ? U'i'
               : c == kSigma ? (is_final(code_points, i) ? kFinalSigma : kSmallSigma)
                             : lower_case(c));
        if (c == kDottedI) append(kDotAbove);
    }
    return result;
}

bool is_letter_or_number(char32_t c) {
    const utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
           (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

}  // namespace dropforge::data
