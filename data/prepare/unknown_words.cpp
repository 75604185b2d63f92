#include "data/prepare/unknown_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "data/tokenizer/basic_tokenizer.h"
#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

/// Up to 4 MB, from up to 16 files.
std::vector<std::string> sample(std::span<const TextFile> files, const ReadOptions& read) {
    constexpr size_t kFiles = 16, kPieceBytes = size_t{1} << 18;
    std::vector<std::string> pieces;
    const size_t step = (files.size() + kFiles - 1) / kFiles;
    for (size_t i = 0; i < files.size(); i += step) {
        TextReader reader({files[i]}, read, kPieceBytes);
        TextPiece piece;
        if (!reader.next(piece)) continue;
        make_text(piece);
        pieces.push_back(std::move(piece.text));
    }
    return pieces;
}

double unknown_share(const std::vector<std::string>& pieces, const Vocabulary& vocabulary,
                     const Normalization& normalization) {
    WordPiece tokenizer(vocabulary, normalization);
    std::vector<int32_t> ids;
    for (const std::string& piece : pieces) tokenizer.encode(piece, ids);
    if (ids.empty()) return 0;
    return static_cast<double>(std::ranges::count(ids, vocabulary.special().unk)) / static_cast<double>(ids.size());
}

using Counts = std::unordered_map<std::string, uint64_t>;

/// The most frequent; commas between them would look like one of them.
std::string most_frequent(const Counts& counts) {
    constexpr size_t kShown = 8;
    std::vector<std::pair<std::string, uint64_t>> sorted(counts.begin(), counts.end());
    std::ranges::sort(sorted, [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    std::string text;
    for (size_t i = 0; i < std::min(kShown, sorted.size()); ++i) text += (i == 0 ? "" : " ") + sorted[i].first;
    return text + (sorted.size() > kShown ? " …" : "");
}

struct Unknown {
    uint64_t words = 0, too_long = 0, lack_a_character = 0;
    Counts counts, characters;  // words; characters that the vocabulary has neither alone nor after ##
};

Unknown unknown_words(const std::vector<std::string>& pieces, const Vocabulary& vocabulary,
                      const Normalization& normalization) {
    std::unordered_set<std::string> tokens;
    for (int32_t id = 0; id < vocabulary.size(); ++id) tokens.insert(vocabulary.token(id));
    Unknown unknown;
    WordPiece tokenizer(vocabulary, normalization);
    BasicTokenizer basic(normalization);
    std::vector<int32_t> ids;
    const auto take = [&](const Word& word) {
        ids.clear();
        tokenizer.encode(word.view(), ids);
        if (std::ranges::find(ids, vocabulary.special().unk) == ids.end() && !word.too_long) return;
        ++unknown.words;
        if (word.too_long) {
            ++unknown.too_long;
            return;
        }
        ++unknown.counts[std::string(word.view())];
        bool lacks = false;
        for (const char *p = word.bytes, *end = p + word.size; p < end;) {
            const std::string character(p, decode_utf8(p, end).size);
            p += character.size();
            if (tokens.contains(character) || tokens.contains("##" + character)) continue;
            ++unknown.characters[character];
            lacks = true;
        }
        unknown.lack_a_character += lacks ? 1 : 0;
    };
    for (const std::string& piece : pieces) basic.split(piece, take);
    return unknown;
}

}  // namespace

std::string why_unknown(std::span<const TextFile> files, const ReadOptions& read, const Vocabulary& vocabulary,
                        const Normalization& normalization) {
    const bool cased = !normalization.lower_case;
    const std::vector<std::string> pieces = sample(files, read);
    const Unknown unknown = unknown_words(pieces, vocabulary, normalization);
    const double share = unknown_share(pieces, vocabulary, normalization),
                 other = unknown_share(pieces, vocabulary, cased ? kUncased : kCased);
    const std::string words =
        unknown.counts.empty() ? "" : "the most frequent: " + most_frequent(unknown.counts) + "; ";
    if (other < share / 4)
        return words + fmt::format("{} --cased it would be {:.1f} %: the vocabulary is {}", cased ? "without" : "with",
                                   100 * other, cased ? "uncased" : "cased");
    if (unknown.too_long * 2 > unknown.words)
        return words + fmt::format("most are longer than {} characters: is that text?", kMaxWordCodePoints);
    if (unknown.lack_a_character * 2 > unknown.words)
        return words + fmt::format("the vocabulary lacks characters of theirs ({}): is it one for another language?",
                                   most_frequent(unknown.characters));
    return words + "the vocabulary has their characters, but no pieces that they could be put together of";
}

}  // namespace dropforge::data
