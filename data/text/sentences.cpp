#include "data/text/sentences.h"

#include <algorithm>
#include <array>
#include <span>

namespace dropforge::data {

namespace {

constexpr std::array<std::string_view, 4> kStops = {".", "!", "?", "…"};
constexpr std::array<std::string_view, 3> kIdeographicStops = {"。", "！", "？"};
constexpr std::array<std::string_view, 9> kClosing = {"\"", "'", ")", "]", "’", "”", "»", "」", "』"};
constexpr std::array<std::string_view, 6> kTitles = {"Mr", "Mrs", "Ms", "Dr", "Prof", "St"};
constexpr std::string_view kBlankLine = "\n\n";
constexpr std::string_view kFirstBytes = ".!?\n\xE2\xE3\xEF";  // of stops and blank lines

/// Bytes of the mark that `text` begins with; 0: none of these.
size_t mark_size(std::string_view text, std::span<const std::string_view> marks) {
    const auto mark = std::ranges::find_if(marks, [&](std::string_view m) { return text.starts_with(m); });
    return mark == marks.end() ? 0 : mark->size();
}

size_t skip_marks(std::string_view text, size_t at) {
    for (;;) {
        const std::string_view rest = text.substr(at);
        const size_t size =
            std::max({mark_size(rest, kStops), mark_size(rest, kIdeographicStops), mark_size(rest, kClosing)});
        if (size == 0) return at;
        at += size;
    }
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Whether a dot after `before` shortens a word.
bool is_abbreviation(std::string_view before) {
    size_t begin = before.size();
    while (begin > 0 && is_letter(before[begin - 1])) --begin;
    const std::string_view word = before.substr(begin);
    const bool initial = word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z' && word[0] != 'I';
    return initial || std::ranges::find(kTitles, word) != kTitles.end();
}

/// Where the sentence ends whose stop or blank line may be at `at`; npos: it does not end there.
size_t end_at(std::string_view text, size_t at) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with(kBlankLine)) return at;
    if (mark_size(rest, kIdeographicStops) > 0) return skip_marks(text, at);
    if (mark_size(rest, kStops) == 0) return std::string_view::npos;
    const size_t end = skip_marks(text, at), next = text.find_first_not_of(" \t\n\r", end);
    if (next == end || end == text.size()) return std::string_view::npos;
    if (next != std::string_view::npos && text[next] >= 'a' && text[next] <= 'z') return std::string_view::npos;
    if (end == at + 1 && text[at] == '.' && is_abbreviation(text.substr(0, at))) return std::string_view::npos;
    return end;
}

/// One past the next sentence of the text, its white space included; npos: it does not end in the text.
size_t next_end(std::string_view text, SentenceBreak how) {
    if (how == SentenceBreak::line) {
        const size_t line_end = text.find('\n');
        return line_end == std::string_view::npos ? line_end : line_end + 1;
    }
    for (size_t at = 0; (at = text.find_first_of(kFirstBytes, at)) != std::string_view::npos;) {
        const size_t end = end_at(text, at);
        if (end != std::string_view::npos) return std::min(text.find_first_not_of(" \t\n\r", end), text.size());
        at = std::max(at + 1, skip_marks(text, at));
    }
    return std::string_view::npos;
}

}  // namespace

void split_sentences(std::string_view text, SentenceBreak how, std::vector<SentencePart>& parts) {
    parts.clear();
    for (size_t end; (end = next_end(text, how)) != std::string_view::npos;) {
        parts.push_back({text.substr(0, end), true});
        text.remove_prefix(end);
    }
    parts.push_back({text, false});
}

}  // namespace dropforge::data
