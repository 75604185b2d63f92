// Novels as Debian's r-cran-janeaustenr has them: lines of about 70 columns.
#pragma once

#include <string>
#include <vector>

namespace dropforge::demo {

/// The paragraphs, a line each, without the underscores of emphasis; an empty line before the heading of each chapter
/// and volume.
std::vector<std::string> paragraphs(const std::vector<std::string>& lines);

}  // namespace dropforge::demo
