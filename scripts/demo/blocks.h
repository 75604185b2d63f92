// Text as blocks between blank lines, by ASCII's white space: other bytes are parts of words.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dropforge::demo {

bool is_space(char c);
/// A letter, a digit or an underscore.
bool is_word(char c);

/// What stands between runs of white space with two line ends or more. A block that follows one keeps its indentation.
std::vector<std::string_view> blocks(std::string_view text);

/// Each run of white space is one space; none at the beginning and the end.
std::string one_line(std::string_view text);

}  // namespace dropforge::demo
