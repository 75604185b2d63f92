#include "data/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>

#include "base/error.h"
#include "data/tokenizer/unicode_tables.h"

namespace dropforge::data {

bool is_valid_utf8(std::string_view text) {
    const char* end = text.data() + text.size();
    for (const char* p = text.data(); p < end;) {
        const Decoded decoded = decode_utf8(p, end);
        const bool written = decoded.size == 3 && std::string_view(p, 3) == "\xEF\xBF\xBD";  // U+FFFD itself
        if (decoded.code_point == kReplacement && !written) return false;
        p += decoded.size;
    }
    return true;
}

namespace {

/// The range of a table that has `c`; null if none has.
template <typename Range, size_t count>
const Range* find(const Range (&table)[count], char32_t c) {
    const Range* after = std::ranges::upper_bound(table, c, {}, &Range::first);
    return after != table && c <= after[-1].last ? after - 1 : nullptr;
}

}  // namespace

bool is_punctuation(char32_t c) { return find(tables::kPunctuation, c) != nullptr; }

bool is_separator(char32_t c) {
    const utf8proc_category_t k = utf8proc_category(static_cast<utf8proc_int32_t>(c));
    return k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP;
}

bool is_nonspacing_mark(char32_t c) { return find(tables::kNonspacing, c) != nullptr; }

bool is_control(char32_t c) { return find(tables::kRemoved, c) != nullptr; }

bool is_ideograph(char32_t c) {
    return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

int combining_class(char32_t c) {
    if (find(tables::kStarters, c) != nullptr) return 0;
    return static_cast<int>(utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class);
}

char32_t lower_case(char32_t c) {
    const tables::SmallLetters* small = find(tables::kSmallLetters, c);
    if (small != nullptr) return static_cast<char32_t>(static_cast<int32_t>(c) + small->shift);
    return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

Decomposition decompose(char32_t c) {
    if (find(tables::kNotDecomposed, c) != nullptr) return {{c}, 1};
    Decomposition result{};
    std::array<utf8proc_int32_t, result.code_points.size()> parts{};
    int boundary_class = 0;
    const utf8proc_ssize_t size =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts.data(),
                                static_cast<utf8proc_ssize_t>(parts.size()), UTF8PROC_DECOMPOSE, &boundary_class);
    require(size >= 1 && size <= static_cast<utf8proc_ssize_t>(parts.size()),
            "utf8proc: cannot decompose U+{:04X} ({})", static_cast<uint32_t>(c), size);
    result.size = static_cast<size_t>(size);
    for (size_t i = 0; i < result.size; ++i) result.code_points[i] = static_cast<char32_t>(parts[i]);
    return result;
}

}  // namespace dropforge::data
