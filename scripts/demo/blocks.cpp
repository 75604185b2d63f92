#include "scripts/demo/blocks.h"

#include <algorithm>

namespace dropforge::demo {

namespace {

constexpr std::string_view kSpaces = " \t\n\v\f\r";

}  // namespace

bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }

bool is_word(char c) { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_'; }

std::vector<std::string_view> blocks(std::string_view text) {
    std::vector<std::string_view> found;
    size_t begin = 0;
    for (size_t end = 0; (end = text.find('\n', end)) != std::string_view::npos;) {
        const size_t next_word = std::min(text.find_first_not_of(kSpaces, end), text.size());
        const size_t last_end = text.rfind('\n', next_word - 1);
        if (last_end > end) {
            found.push_back(text.substr(begin, end - begin));
            begin = last_end + 1;
        }
        end = last_end + 1;
    }
    if (begin < text.size()) found.push_back(text.substr(begin));
    return found;
}

std::string one_line(std::string_view text) {
    std::string line;
    for (const char c : text) {
        if (!is_space(c))
            line += c;
        else if (!line.empty() && line.back() != ' ')
            line += ' ';
    }
    if (!line.empty() && line.back() == ' ') line.pop_back();
    return line;
}

}  // namespace dropforge::demo
