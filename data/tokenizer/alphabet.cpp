#include "data/tokenizer/alphabet.h"

#include <algorithm>
#include <map>
#include <unordered_map>

#include "data/tokenizer/unicode.h"

namespace dropforge::data {

std::u32string code_points(std::string_view word) {
    std::u32string result;
    for (const char *p = word.data(), *end = p + word.size(); p < end;) {
        const Decoded decoded = decode_utf8(p, end);
        result += decoded.code_point;
        p += decoded.size;
    }
    return result;
}

Alphabet::Alphabet(const std::vector<WordCounts::Item>& words) : occurrences_{0} {
    std::map<char32_t, uint64_t> counts;
    for (const WordCounts::Item& item : words) {
        for (const char32_t c : code_points(item.word)) counts[c] += item.count;
    }
    std::vector<std::pair<char32_t, uint64_t>> sorted(counts.begin(), counts.end());
    std::ranges::stable_sort(sorted, [](const auto& a, const auto& b) { return a.second > b.second; });
    std::unordered_map<char32_t, size_t> ranks;
    for (const auto& [c, count] : sorted) {
        ranks[c] = characters_.size();
        characters_ += c;
        occurrences_.push_back(occurrences_.back() + count);
    }

    // The first alphabet with a word that has the character inside: that with the word's rarest character.
    std::vector<size_t> inside_from(size() + 1, size() + 1);
    for (const WordCounts::Item& item : words) {
        const std::u32string word = code_points(item.word);
        size_t rarest = 0;
        for (const char32_t c : word) rarest = std::max(rarest, ranks[c]);
        for (const char32_t c : std::u32string_view(word).substr(1))
            inside_from[ranks[c]] = std::min(inside_from[ranks[c]], rarest + 1);
    }
    std::ranges::sort(inside_from);
    for (size_t count = 0, inside = 0; count <= size(); ++count) {
        while (inside_from[inside] <= count) ++inside;
        tokens_.push_back(count + inside);
    }
}

std::u32string Alphabet::most_frequent(size_t count) const {
    std::u32string first = characters_.substr(0, count);
    std::ranges::sort(first);
    return first;
}

double Alphabet::coverage(size_t count) const {
    return static_cast<double>(occurrences_[count]) / static_cast<double>(occurrences_.back());
}

size_t Alphabet::covering(double share) const {
    size_t count = 0;
    while (count < size() && coverage(count) < share) ++count;
    return count;
}

size_t Alphabet::fitting(size_t tokens) const {
    return static_cast<size_t>(std::ranges::upper_bound(tokens_, tokens) - tokens_.begin()) - 1;
}

}  // namespace dropforge::data
