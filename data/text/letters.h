// Text in small letters, and what a letter or a digit is, as Python has them.
#pragma once

#include <string>
#include <string_view>

namespace dropforge::data {

/// Python's str.lower(): the full mapping of Unicode, in which İ becomes two code points and Σ at the end of a word ς.
/// `text` is valid UTF-8.
std::string in_small_letters(std::string_view text);

/// Whether Python's regular expressions count it as part of a word: categories L and N. (The underscore, which they
/// count too, is not one here.)
bool is_letter_or_number(char32_t c);

}  // namespace dropforge::data
