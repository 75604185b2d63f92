// What a text's bytes are as UTF-8: repair, and the white space of Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dropforge::data {

/// Replaces what is not UTF-8 by U+FFFD, one for each maximal part of a character (as the Unicode standard recommends).
/// Returns the bytes replaced.
uint64_t replace_invalid_utf8(std::string& text);

/// How many bytes of `text` are no part of a valid character; a character that the text's end cuts is none of them.
uint64_t count_invalid_utf8(std::string_view text);

/// What stands at the start of a text.
enum class Space {
    no,
    yes,
    cut_short  // no whole character: the text ends inside of it
};
/// Whether that is one of the characters that Python's str.strip() removes, and its bytes. `text` is not empty.
Space white_space(std::string_view text, size_t& size);

}  // namespace dropforge::data
