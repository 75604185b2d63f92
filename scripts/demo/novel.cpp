#include "scripts/demo/novel.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "scripts/demo/blocks.h"

namespace dropforge::demo {

namespace {

constexpr auto kNone = std::string_view::npos;

/// "very _much_ so" without its underscores.
std::string without_emphasis(std::string_view text) {
    std::string plain;
    while (!text.empty()) {
        const size_t open = text.find('_'), close = open == kNone ? kNone : text.find('_', open + 1);
        if (close == kNone) return plain.append(text);
        plain += text.substr(0, open);
        if (close == open + 1) {  // nothing between them: the second may open
            plain += '_';
            text.remove_prefix(close);
        } else {
            plain += text.substr(open + 1, close - open - 1);
            text.remove_prefix(close + 1);
        }
    }
    return plain;
}

/// Whether it begins like "CHAPTER XII" or "Volume 2".
bool is_heading(std::string_view paragraph) {
    std::string lower(paragraph);
    for (char& c : lower)
        if ('A' <= c && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    std::string_view rest = lower;
    if (rest.starts_with("chapter "))
        rest.remove_prefix(8);
    else if (rest.starts_with("volume "))
        rest.remove_prefix(7);
    else
        return false;
    const size_t end = std::min(rest.find_first_not_of("0123456789ivxlc"), rest.size());
    return end > 0 && (end == rest.size() || !is_word(rest[end]));
}

}  // namespace

std::vector<std::string> paragraphs(const std::vector<std::string>& lines) {
    const std::string text = fmt::format("{}", fmt::join(lines, "\n"));
    std::vector<std::string> found;
    for (const std::string_view block : blocks(text)) {
        std::string paragraph = without_emphasis(one_line(block));
        if (is_heading(paragraph)) found.emplace_back();
        if (!paragraph.empty()) found.push_back(std::move(paragraph));
    }
    return found;
}

}  // namespace dropforge::demo
