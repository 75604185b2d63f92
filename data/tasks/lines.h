// A text file as its lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file.h"

namespace dropforge::tasks {

/// The whole file, "-" standard input, without its byte order mark, invalid UTF-8 as U+FFFD. Throws Error if it cannot
/// be read or is empty.
std::string read_valid_text(const fs::path& path);

/// Calls take(number, line) for every line of `text`, from 1, without LF or CR LF; the empty ones too, but for what
/// follows the last LF.
template <typename Take>
void for_each_line(std::string_view text, const Take& take) {
    for (int64_t number = 1; !text.empty(); ++number) {
        const size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        take(number, line);
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
}

/// Without the white space (as Python has it) at both ends.
std::string_view stripped(std::string_view text);

}  // namespace dropforge::tasks
