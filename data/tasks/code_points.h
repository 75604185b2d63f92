// Places in UTF-8 text, counted in code points.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace dropforge::tasks {

inline bool begins_code_point(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80; }

inline int64_t code_points_in(std::string_view text) { return std::ranges::count_if(text, begins_code_point); }

/// The byte at which code point `place` begins; text.size() where the text ends before it. `text` is valid UTF-8.
inline size_t byte_of(std::string_view text, int64_t place) {
    size_t at = 0;
    for (; at < text.size(); ++at)
        if (begins_code_point(text[at]) && place-- == 0) break;
    return at;
}

/// Code points [begin, end) of a text.
inline std::string_view code_points_of(std::string_view text, int64_t begin, int64_t end) {
    const size_t first = byte_of(text, begin);
    return text.substr(first, byte_of(text.substr(first), end - begin));
}

}  // namespace dropforge::tasks
