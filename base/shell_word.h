// Words of a shell's command line.
#pragma once

#include <string>

namespace dropforge {

/// `word` as a POSIX shell reads it back: as it is, or in single quotes.
std::string shell_word(const std::string& word);

}  // namespace dropforge
