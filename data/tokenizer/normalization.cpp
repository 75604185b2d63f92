#include "data/tokenizer/normalization.h"

#include <algorithm>

#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

std::u32string cleaned(std::string_view text, bool split_ideographs) {
    std::u32string result;
    for (const char *p = text.data(), *end = p + text.size(); p < end;) {
        const auto [c, size] = decode_utf8(p, end);
        p += size;
        if (c == '\t' || c == '\n' || c == '\r' || is_separator(c)) {
            result += U' ';
        } else if (c != 0 && c != kReplacement && !is_control(c)) {
            result += split_ideographs && is_ideograph(c) ? std::u32string{U' ', c, U' '} : std::u32string{c};
        }
    }
    return result;
}

/// NFD, without non-spacing marks.
std::u32string without_accents(const std::u32string& text) {
    std::u32string result;
    for (const char32_t c : text) {
        const Decomposition parts = decompose(c);
        result.append(parts.code_points.data(), parts.size);
    }
    const auto is_mark = [](char32_t c) { return combining_class(c) != 0; };
    for (auto begin = result.begin(); begin != result.end();) {
        begin = std::find_if(begin, result.end(), is_mark);
        const auto end = std::find_if_not(begin, result.end(), is_mark);
        std::stable_sort(begin, end, [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
        begin = end;
    }
    std::erase_if(result, is_nonspacing_mark);
    return result;
}

std::u32string in_lower_case(const std::u32string& text) {
    std::u32string result;
    for (const char32_t c : text) result += c == kDottedI ? U"i\u0307" : std::u32string{lower_case(c)};
    return result;
}

}  // namespace

std::string Normalization::text() const {
    std::string text = lower_case ? "uncased" : "cased";
    if (strip_accents != lower_case) text += strip_accents ? ", accents stripped" : ", accents kept";
    if (!split_ideographs) text += ", ideographs not split";
    return text;
}

std::string normalize(std::string_view text, const Normalization& normalization) {
    std::u32string normalized = cleaned(text, normalization.split_ideographs);
    if (normalization.strip_accents) normalized = without_accents(normalized);
    if (normalization.lower_case) normalized = in_lower_case(normalized);
    std::string result;
    for (const char32_t c : normalized) {
        char bytes[4];
        result.append(bytes, write_utf8(c, bytes));
    }
    return result;
}

}  // namespace dropforge::data
