#include "scripts/demo/pod.h"

#include <algorithm>
#include <functional>

#include "scripts/demo/blocks.h"

namespace dropforge::demo {

namespace {

constexpr auto kNone = std::string_view::npos;

/// A formatting code in a text: from its letter to its last bracket.
struct Code {
    size_t begin, end;
    char letter;
    std::string_view content;
};

/// What stays of L<text|target>, L</section>, L</"section">; a line may end after the quote.
std::string link_text(std::string_view content) {
    content = content.substr(0, content.find('|'));
    if (content.starts_with('/')) content.remove_prefix(1);
    if (content.starts_with('"')) content.remove_prefix(1);
    std::string text(content);
    const size_t last = text.find_last_not_of('\n');
    if (last != std::string::npos && text[last] == '"') text.erase(last, 1);
    return text;
}

std::string escaped(std::string_view name) {
    if (name == "lt") return "<";
    if (name == "gt") return ">";
    if (name == "verbar") return "|";
    if (name == "sol") return "/";
    return "";
}

/// What a formatting code leaves of its content.
std::string text_of(const Code& code) {
    switch (code.letter) {
        case 'E':
            return escaped(code.content);
        case 'L':
            return link_text(code.content);
        case 'X':
        case 'Z':
            return "";
        default:
            return std::string(code.content);
    }
}

/// The bracket after the first capital from `at` on that stands alone before one; kNone if there is none.
size_t find_bracket(std::string_view text, size_t at) {
    while ((at = text.find('<', at)) != kNone) {
        if (at > 0 && 'A' <= text[at - 1] && text[at - 1] <= 'Z' && (at == 1 || !is_word(text[at - 2]))) return at;
        ++at;
    }
    return kNone;
}

/// Whether a code of several brackets that opens at `bracket` is one, `C<< a->b >>`: they stand off from the content.
bool read_wide(std::string_view text, size_t bracket, Code& code) {
    const size_t inner = std::min(text.find_first_not_of('<', bracket), text.size());
    size_t begin = inner;
    while (begin < text.size() && is_space(text[begin])) ++begin;
    if (inner - bracket < 2 || begin == inner) return false;
    for (size_t close = begin; (close = text.find(">>", close)) != kNone; ++close) {
        size_t end = close;
        while (end > begin && is_space(text[end - 1])) --end;
        if (end == close) continue;
        code = {bracket - 1, std::min(text.find_first_not_of('>', close), text.size()), text[bracket - 1],
                text.substr(begin, end - begin)};
        return true;
    }
    return false;
}

/// Whether a code of one bracket opens at `bracket` and has no other in it.
bool read_narrow(std::string_view text, size_t bracket, Code& code) {
    const size_t close = text.find_first_of("<>", bracket + 1);
    if (close == kNone || text[close] == '<') return false;
    code = {bracket - 1, close + 1, text[bracket - 1], text.substr(bracket + 1, close - bracket - 1)};
    return true;
}

/// Puts in place of each code that `read` finds what it leaves; false if there is none.
bool replace_codes(std::string& text, const std::function<bool(std::string_view, size_t, Code&)>& read) {
    std::string replaced;
    size_t done = 0;
    Code code{};
    for (size_t at = 0; (at = find_bracket(text, at)) != kNone;) {
        if (at > done && read(text, at, code)) {
            replaced.append(text, done, code.begin - done).append(text_of(code));
            at = done = code.end;
        } else {
            ++at;
        }
    }
    if (done == 0) return false;
    text = replaced.append(text, done);
    return true;
}

std::string plain(std::string_view block) {
    std::string text(block);
    replace_codes(text, read_wide);
    while (replace_codes(text, read_narrow)) {  // codes nest: the innermost first
    }
    return one_line(text);
}

/// "=head1" of "=head1 NAME"; empty where a block is no command.
std::string_view command_of(std::string_view block) {
    if (!block.starts_with('=')) return "";
    size_t end = 1;
    while (end < block.size() && is_word(block[end])) ++end;
    return end > 1 ? block.substr(0, end) : "";
}

bool has_small_letter(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return 'a' <= c && c <= 'z'; });
}

}  // namespace

std::vector<std::string> prose(std::string_view source) {
    std::vector<std::string> lines;
    bool inside = false, foreign = false;  // between a command and =cut; between =begin and =end
    for (std::string_view block : blocks(source)) {
        block.remove_prefix(std::min(block.find_first_not_of('\n'), block.size()));
        const std::string_view command = command_of(block);
        if (!command.empty()) {
            inside = command != "=cut";
            if (command == "=begin" || command == "=end") foreign = command == "=begin";
            if (foreign || !command.starts_with("=head")) continue;
            if (command == "=head1" && !lines.empty()) lines.emplace_back();
            lines.push_back(plain(block.substr(command.size())));
        } else if (inside && !foreign && !block.empty() && !is_space(block[0])) {
            std::string text = plain(block);
            if (has_small_letter(text)) lines.push_back(std::move(text));
        }
    }
    return lines;
}

}  // namespace dropforge::demo
