#include "data/unicode.h"

#include <utf8proc.h>

#include "base/error.h"

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

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

}  // namespace

bool is_punctuation(char32_t c) {
    const utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool is_separator(char32_t c) {
    const utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_ZS && k <= UTF8PROC_CATEGORY_ZP;
}

bool is_nonspacing_mark(char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }

bool is_control(char32_t c) {
    const utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO;
}

bool is_ideograph(char32_t c) {
    return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B820 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

int combining_class(char32_t c) {
    return static_cast<int>(utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class);
}

char32_t lower_case(char32_t c) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))); }

Decomposition decompose(char32_t c) {
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
