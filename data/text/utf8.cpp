#include "data/text/utf8.h"

#include <cstring>
#include <utility>

#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

/// Length of the valid UTF-8 character at p, or 0; then `bad` is the length of the maximal part that is wrong. (Unicode
/// 15, table 3-7.)
size_t character(const unsigned char* p, size_t left, size_t& bad) {
    const unsigned char lead = p[0];
    bad = 1;
    if (lead < 0x80) return 1;
    const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                          : lead >= 0xE0 && lead <= 0xEF ? 3
                          : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                         : 0;
    if (length == 0) return 0;
    for (size_t i = 1; i < length; ++i) {
        unsigned char low = 0x80,
                      high = 0xBF;  // overlong forms, surrogates and what is above U+10FFFF begin with these:
        if (i == 1 && lead == 0xE0) low = 0xA0;
        if (i == 1 && lead == 0xED) high = 0x9F;
        if (i == 1 && lead == 0xF0) low = 0x90;
        if (i == 1 && lead == 0xF4) high = 0x8F;
        if (i >= left || p[i] < low || p[i] > high) return 0;
        bad = i + 1;
    }
    return length;
}

/// Where the first invalid part begins; text.size() if there is none.
size_t valid_prefix(std::string_view text, size_t from, size_t& bad) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    while (from < text.size()) {
        uint64_t eight;
        if (from + sizeof eight <= text.size()) {  // most text is ASCII
            std::memcpy(&eight, bytes + from, sizeof eight);
            if ((eight & 0x8080808080808080) == 0) {
                from += sizeof eight;
                continue;
            }
        }
        const size_t length = character(bytes + from, text.size() - from, bad);
        if (length == 0) return from;
        from += length;
    }
    return from;
}

}  // namespace

uint64_t replace_invalid_utf8(std::string& text) {
    size_t bad = 0, valid = valid_prefix(text, 0, bad);
    if (valid == text.size()) return 0;
    std::string repaired(text, 0, valid);
    uint64_t replaced = 0;
    while (valid < text.size()) {
        repaired += "\xEF\xBF\xBD";
        replaced += bad;
        const size_t from = valid + bad;
        valid = valid_prefix(text, from, bad);
        repaired.append(text, from, valid - from);
    }
    text = std::move(repaired);
    return replaced;
}

uint64_t count_invalid_utf8(std::string_view text) {
    uint64_t count = 0;
    size_t bad = 0;
    for (size_t at = valid_prefix(text, 0, bad); at < text.size(); at = valid_prefix(text, at + bad, bad)) {
        const bool cut_short = at + bad == text.size() && static_cast<unsigned char>(text[at]) >= 0xC2;
        if (!cut_short) count += bad;
    }
    return count;
}

Space white_space(std::string_view text, size_t& size) {
    const Decoded first = decode_utf8(text.data(), text.data() + text.size());
    size = first.size;
    const char32_t c = first.code_point;
    if (c == kReplacement && size == text.size() && static_cast<unsigned char>(text[0]) >= 0xC2)
        return Space::cut_short;
    const bool is_one = (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
                        (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
                        c == 0x3000;
    return is_one ? Space::yes : Space::no;
}

}  // namespace dropforge::data
