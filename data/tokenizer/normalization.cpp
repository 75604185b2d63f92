#include "data/tokenizer/normalization.h"

#include <algorithm>

#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

using Characters = std::vector<NormalizedCharacter>;

Characters cleaned(std::string_view text, bool split_ideographs) {
    Characters result;
    int32_t origin = 0;
    for (const char *p = text.data(), *end = p + text.size(); p < end; ++origin) {
        const auto [c, size] = decode_utf8(p, end);
        p += size;
        if (c == '\t' || c == '\n' || c == '\r' || is_separator(c)) {
            result.push_back({U' ', origin});
        } else if (c != 0 && c != kReplacement && !is_control(c)) {
            const bool alone = split_ideographs && is_ideograph(c);
            if (alone) result.push_back({U' ', origin});
            result.push_back({c, origin});
            if (alone) result.push_back({U' ', origin});
        }
    }
    return result;
}

/// NFD, without non-spacing marks.
Characters without_accents(const Characters& text) {
    Characters result;
    for (const auto& [c, origin] : text) {
        const Decomposition parts = decompose(c);
        for (size_t i = 0; i < parts.size; ++i) result.push_back({parts.code_points[i], origin});
    }
    const auto class_of = [](const NormalizedCharacter& c) { return combining_class(c.code_point); };
    const auto is_mark = [&](const NormalizedCharacter& c) { return class_of(c) != 0; };
    for (auto begin = result.begin(); begin != result.end();) {
        begin = std::find_if(begin, result.end(), is_mark);
        const auto end = std::find_if_not(begin, result.end(), is_mark);
        std::stable_sort(begin, end, [&](const auto& a, const auto& b) { return class_of(a) < class_of(b); });
        begin = end;
    }
    std::erase_if(result, [](const NormalizedCharacter& c) { return is_nonspacing_mark(c.code_point); });
    return result;
}

Characters in_lower_case(const Characters& text) {
    Characters result;
    for (const auto& [c, origin] : text) {
        result.push_back({c == kDottedI ? U'i' : lower_case(c), origin});
        if (c == kDottedI) result.push_back({U'\u0307', origin});
    }
    return result;
}

}  // namespace

std::string Normalization::text() const {
    std::string text = lower_case ? "uncased" : "cased";
    if (strip_accents != lower_case) text += strip_accents ? ", accents stripped" : ", accents kept";
    if (!split_ideographs) text += ", ideographs not split";
    return text;
}

std::vector<NormalizedCharacter> normalized_characters(std::string_view text, const Normalization& normalization) {
    Characters normalized = cleaned(text, normalization.split_ideographs);
    if (normalization.strip_accents) normalized = without_accents(normalized);
    if (normalization.lower_case) normalized = in_lower_case(normalized);
    return normalized;
}

std::string normalize(std::string_view text, const Normalization& normalization) {
    std::string result;
    for (const NormalizedCharacter& c : normalized_characters(text, normalization)) {
        char bytes[4];
        result.append(bytes, write_utf8(c.code_point, bytes));
    }
    return result;
}

}  // namespace dropforge::data
