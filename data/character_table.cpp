#include "data/character_table.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace dropforge::data {

namespace {

using Kind = CharacterTable::Kind;
using Entry = CharacterTable::Entry;

Entry entry(Kind kind, int32_t shift = 0, bool reorders = false) {
    return {.shift = shift, .kind = static_cast<uint32_t>(kind), .reorders = reorders ? 1U : 0U};
}

/// The blocks that BERT pads with spaces: CJK ideographs, not kana and not Hangul. Hugging Face's tokenizers begins the
/// last but one at 2B920, where the original code says 2B820.
bool is_ideograph(char32_t c) {
    return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

Entry uncased(char32_t c) {
    const Decomposition parts = decompose(c);
    Decomposition kept{};
    bool starter = false;
    for (size_t i = 0; i < parts.size; ++i) {
        const char32_t part = parts.code_points[i];
        starter = starter || combining_class(part) == 0;
        if (!is_nonspacing_mark(part)) kept.code_points[kept.size++] = part;
    }
    if (kept.size == 0) return entry(Kind::kRemoved, 0, !starter);
    if (kept.size > 1 || !starter) {
        for (size_t i = 0; i < kept.size; ++i) {
            require(!is_punctuation(kept.code_points[i]) && !is_ideograph(c),
                    "U+{:04X} decomposes to more than letters and marks", static_cast<uint32_t>(c));
        }
        return entry(Kind::kSequence, 0, !starter);
    }
    const char32_t lower = lower_case(kept.code_points[0]);
    return entry(is_ideograph(c) || is_punctuation(lower) ? Kind::kAlone : Kind::kLetter,
                 static_cast<int32_t>(lower) - static_cast<int32_t>(c));
}

Entry classify(char32_t c, bool cased) {
    if (c == '\t' || c == '\n' || c == '\r') return entry(Kind::kSpace);
    if (c == 0 || c == kReplacement || is_control(c)) return entry(Kind::kRemoved, 0, true);
    if (is_separator(c)) return entry(Kind::kSpace);
    if (!cased) return uncased(c);
    return entry(is_ideograph(c) || is_punctuation(c) ? Kind::kAlone : Kind::kLetter);
}

/// An order for the map of blocks; any will do.
struct Less {
    static auto key(const Entry& e) { return std::tuple(e.shift, e.kind, e.reorders); }
    bool operator()(const std::vector<Entry>& a, const std::vector<Entry>& b) const {
        return std::ranges::lexicographical_compare(a, b, {}, key, key);
    }
};

}  // namespace

CharacterTable::CharacterTable(bool cased) {
    std::map<std::vector<Entry>, uint32_t, Less> seen;
    std::vector<Entry> block(kBlock);
    for (char32_t first = 0; first < kCodePoints; first += kBlock) {
        for (char32_t i = 0; i < kBlock; ++i) block[i] = classify(first + i, cased);
        const auto [at, is_new] = seen.try_emplace(block, static_cast<uint32_t>(entries_.size()));
        if (is_new) entries_.insert(entries_.end(), block.begin(), block.end());
        blocks_[first / kBlock] = at->second;
    }
}

const CharacterTable& CharacterTable::get(bool cased) {
    if (cased) {
        static const CharacterTable table(true);
        return table;
    }
    static const CharacterTable table(false);
    return table;
}

}  // namespace dropforge::data
