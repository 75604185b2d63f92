// Markdown to text: the constructs of CommonMark and GitHub's tables, line by line.
#include <algorithm>
#include <cctype>

#include "data/markup.h"

namespace dropforge::data {

namespace {

constexpr size_t kLongestLine = size_t{1} << 16;
constexpr size_t kLongestRun = 64;
constexpr size_t kLongestLink = 1024;  // text or address; a limit keeps lines of a thousand brackets cheap

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || (c & 0x80) != 0; }
bool is_punctuation(char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; }

std::string_view without_indent(std::string_view text) {
    const size_t begin = text.find_first_not_of(" \t");
    return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

std::string_view without_end_spaces(std::string_view text) {
    const size_t last = text.find_last_not_of(" \t\r");
    return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

/// Only the characters of `marks` and spaces, at least three marks of one kind: ***, - - -, ===, |---|:--|.
bool is_rule(std::string_view text) {
    text = without_end_spaces(text);
    for (const std::string_view marks : {"-", "=", "*", "_", "-|:"}) {
        const auto count = std::ranges::count(text, marks.front());
        const bool only =
            std::ranges::all_of(text, [&](char c) { return c == ' ' || marks.find(c) != std::string_view::npos; });
        if (count >= 3 && only) return true;
    }
    return false;
}

/// ``` or ~~~ or longer at the start; else empty.
std::string_view fence_of(std::string_view text) {
    if (text.empty() || (text.front() != '`' && text.front() != '~')) return {};
    const size_t end = std::min(text.find_first_not_of(text.front()), text.size());
    const bool inline_code = text.front() == '`' && text.find('`', end) != std::string_view::npos;
    return end >= 3 && !inline_code ? text.substr(0, end) : std::string_view();
}

/// Length of a list mark and the space after it, or 0.
size_t list_mark(std::string_view text) {
    size_t length = 0;
    while (length < text.size() && length < 9 && std::isdigit(static_cast<unsigned char>(text[length])) != 0) ++length;
    if (length >= text.size()) return 0;
    const bool mark =
        length > 0 ? text[length] == '.' || text[length] == ')' : text[0] == '-' || text[0] == '*' || text[0] == '+';
    return mark && length + 1 < text.size() && text[length + 1] == ' ' ? length + 2 : 0;
}

/// [name]: address
bool is_link_definition(std::string_view text) {
    const size_t end = text.find("]:");
    return text.starts_with('[') && end != std::string_view::npos && text.find(']') == end && !text.starts_with("[^");
}

/// The place after the bracket that closes the one at text[open]; npos if there is none.
size_t after_closing(std::string_view text, size_t open, char opening, char closing) {
    int depth = 0;
    text = text.substr(0, open + kLongestLink);
    if (text.find(closing, open) == std::string_view::npos) return std::string_view::npos;
    for (size_t i = open; i < text.size(); ++i) {
        if (text[i] == '\\') {
            ++i;
        } else if (text[i] == opening) {
            ++depth;
        } else if (text[i] == closing && --depth == 0) {
            return i + 1;
        }
    }
    return std::string_view::npos;
}

struct Link {
    size_t text_end = 0, end = 0;  // of the text in brackets, of all; 0: no link
};

/// [text](address), [text][name]; text[open] is the bracket.
Link link_at(std::string_view text, size_t open) {
    const size_t after_text = after_closing(text, open, '[', ']');
    if (after_text >= text.size()) return {};  // npos too
    const char next = text[after_text];
    if (next != '(' && next != '[') return {};
    const size_t end = after_closing(text, after_text, next, next == '(' ? ')' : ']');
    return end == std::string_view::npos ? Link{} : Link{after_text - 1, end};
}

/// <https://…> or <name@…>: an address, not a tag.
size_t address_end(std::string_view text, size_t open) {
    text = text.substr(0, open + kLongestLink);
    const size_t end = text.find_first_of("> \t", open);
    if (end == std::string_view::npos || text[end] != '>') return 0;
    const std::string_view inside = text.substr(open + 1, end - open - 1);
    return inside.find("://") != std::string_view::npos || inside.find('@') != std::string_view::npos ? end + 1 : 0;
}

/// Without quote, list and heading marks; without a heading's closing marks too.
std::string_view without_block_marks(std::string_view text) {
    for (;;) {
        const size_t mark = text.starts_with('>') ? 1 : list_mark(text);
        if (mark == 0) break;
        text = without_indent(text.substr(mark));
    }
    const size_t level = std::min(text.find_first_not_of('#'), text.size());
    if (level == 0 || level > 6 || (level < text.size() && text[level] != ' ')) return text;
    text = without_end_spaces(without_indent(text.substr(level)));
    const size_t last = text.find_last_not_of('#');
    return last != std::string_view::npos && text[last] == ' ' ? without_end_spaces(text.substr(0, last)) : text;
}

}  // namespace

void MarkdownStripper::feed(std::string_view bytes, std::string& out) {
    while (!bytes.empty()) {
        const size_t end = bytes.find('\n');
        const size_t part = std::min({end, bytes.size(), kLongestLine - std::min(line_.size(), kLongestLine - 1)});
        line_ += bytes.substr(0, part);
        bytes.remove_prefix(part);
        if (part == end) {
            line(line_, out);
            html_.feed("\n", out);
            bytes.remove_prefix(1);
            line_.clear();
            continued_ = false;
        } else if (line_.size() >= kLongestLine) {
            const size_t space = line_.rfind(' ');
            const size_t cut = space == std::string::npos || space == 0 ? line_.size() : space;
            line(std::string_view(line_).substr(0, cut), out);
            line_.erase(0, cut);
            continued_ = true;
        }
    }
}

void MarkdownStripper::finish(std::string& out) {
    line(line_, out);
    line_.clear();
    html_.finish(out);
}

void MarkdownStripper::line(std::string_view text, std::string& out) {
    if (continued_) {
        fence_.empty() ? inline_text(text, out) : void(out += text);
        return;
    }
    const std::string_view content = without_indent(text);
    const std::string_view fence = fence_of(content);
    if (!fence_.empty()) {
        if (fence.starts_with(fence_)) {
            fence_.clear();
        } else {
            out += text;
        }
        return;
    }
    if (!fence.empty()) {
        fence_ = fence;
        return;
    }
    if (is_rule(content) || is_link_definition(content)) return;
    inline_text(without_block_marks(content), out);
}

void MarkdownStripper::inline_text(std::string_view text, std::string& out) {
    const bool table = text.starts_with('|');
    size_t plain = 0;  // start of what has no marks and is not yet out
    const auto flush = [&](size_t end, size_t next) {
        html_.feed(text.substr(plain, end - plain), out);
        plain = next;
        return next;
    };
    for (size_t i = 0; i < text.size();) {
        const char c = text[i], before = i > 0 ? text[i - 1] : ' ';
        const std::string_view ahead = text.substr(i, kLongestRun);
        const size_t run = std::min(ahead.find_first_not_of(c), ahead.size());  // of one mark
        if (c == '\\' && i + 1 < text.size() && is_punctuation(text[i + 1])) {
            flush(i, i + 2);
            out += text[i + 1];
            i += 2;
        } else if (c == '`') {
            const std::string_view mark = text.substr(i, run);
            const size_t end = text.find(mark, i + run);
            flush(i, i + run);
            if (end != std::string_view::npos) {
                out += text.substr(i + run, end - i - run);  // code: neither marks nor tags inside
                plain = end + run;
            }
            i = plain;
        } else if (c == '*' || (c == '~' && run == 2)) {
            const bool spaced = (before == ' ' || before == '\t') && (i + run == text.size() || text[i + run] == ' ');
            i = spaced ? i + run : flush(i, i + run);  // "2 * 3" is text
        } else if (c == '_') {
            const bool inside_word = is_word(before) && i + run < text.size() && is_word(text[i + run]);
            i = inside_word ? i + run : flush(i, i + run);  // snake_case is text
        } else if (c == '|' && table) {
            i = flush(i, i + 1);
            out += ' ';
        } else if (c == '<' && address_end(text, i) != 0) {
            i = flush(i, address_end(text, i));
        } else if (c == '[' || (c == '!' && i + 1 < text.size() && text[i + 1] == '[')) {
            const size_t open = c == '[' ? i : i + 1;
            const Link link = link_at(text, open);
            if (link.end == 0) {
                i = open + 1;
                continue;
            }
            flush(i, link.end);
            inline_text(text.substr(open + 1, link.text_end - open - 1), out);
            i = link.end;
        } else {
            ++i;
        }
    }
    flush(text.size(), text.size());
}

}  // namespace dropforge::data
