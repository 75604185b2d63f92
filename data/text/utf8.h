// UTF-8: repair of invalid bytes, and Python's white space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dropforge::data {

/// Replaces invalid bytes by U+FFFD, one for each maximal subpart of a character, as the Unicode standard recommends.
/// Returns the number of bytes replaced.
uint64_t replace_invalid_utf8(std::string& text);

/// The number of bytes of `text` that are no part of a valid character; one that the end cuts short does not count.
uint64_t count_invalid_utf8(std::string_view text);

/// The kind of a text's first character.
enum class Space {
    no,
    yes,
    cut_short  // the text ends inside the character
};
/// Whether the first character of `text`, which is not empty, is one that Python's str.strip() removes, and its size in
/// bytes.
Space white_space(std::string_view text, size_t& size);

}  // namespace dropforge::data
