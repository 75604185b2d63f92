#include "data/tokenizer/character_table.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>

#include "base/error.h"

namespace dropforge::data {

namespace {

using Kind = CharacterTable::Kind;
using Entry = CharacterTable::Entry;

Entry entry(Kind kind, int32_t shift = 0, bool reorders = false) {
    return {.shift = shift, .kind = static_cast<uint32_t>(kind), .reorders = reorders ? 1U : 0U};
}

/// `part` is what is left of c.
Entry single(char32_t c, char32_t part, const Normalization& normalization) {
    const char32_t becomes = normalization.lower_case ? lower_case(part) : part;
    const bool alone = (normalization.split_ideographs && is_ideograph(c)) || is_punctuation(becomes);
    return entry(alone ? Kind::kAlone : Kind::kLetter, static_cast<int32_t>(becomes) - static_cast<int32_t>(c));
}

Entry stripped(char32_t c, const Normalization& normalization) {
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
    return single(c, kept.code_points[0], normalization);
}

Entry classify(char32_t c, const Normalization& normalization) {
    if (c == '\t' || c == '\n' || c == '\r') return entry(Kind::kSpace);
    if (c == 0 || c == kReplacement || is_control(c)) return entry(Kind::kRemoved, 0, true);
    if (is_separator(c)) return entry(Kind::kSpace);
    if (normalization.strip_accents) return stripped(c, normalization);
    if (normalization.lower_case && c == kDottedI) return entry(Kind::kSequence);
    return single(c, c, normalization);
}

/// An order for the map of blocks; any will do.
struct Less {
    static auto key(const Entry& e) { return std::tuple(e.shift, e.kind, e.reorders); }
    bool operator()(const std::vector<Entry>& a, const std::vector<Entry>& b) const {
        return std::ranges::lexicographical_compare(a, b, {}, key, key);
    }
};

}  // namespace

CharacterTable::CharacterTable(const Normalization& normalization) {
    std::map<std::vector<Entry>, uint32_t, Less> seen;
    std::vector<Entry> block(kBlock);
    for (char32_t first = 0; first < kCodePoints; first += kBlock) {
        for (char32_t i = 0; i < kBlock; ++i) block[i] = classify(first + i, normalization);
        const auto [at, is_new] = seen.try_emplace(block, static_cast<uint32_t>(entries_.size()));
        if (is_new) entries_.insert(entries_.end(), block.begin(), block.end());
        blocks_[first / kBlock] = at->second;
    }
}

const CharacterTable& CharacterTable::get(const Normalization& normalization) {
    static std::mutex mutex;
    static std::array<std::unique_ptr<const CharacterTable>, 8> tables;  // of each setting of the three switches
    const std::scoped_lock lock(mutex);
    auto& table = tables[(normalization.lower_case ? 1 : 0) + (normalization.strip_accents ? 2 : 0) +
                         (normalization.split_ideographs ? 4 : 0)];
    if (!table) table.reset(new CharacterTable(normalization));
    return *table;
}

}  // namespace dropforge::data
