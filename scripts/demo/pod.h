// Perl's documentation (perlpod) to plain text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dropforge::demo {

/// Headings and paragraphs, a line each; no code, lists' marks, or text of other formats. An empty line before each
/// heading of the first order but the first.
std::vector<std::string> prose(std::string_view source);

}  // namespace dropforge::demo
