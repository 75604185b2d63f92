#include "data/tokenizer/wordpiece.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "data/tokenizer/basic_tokenizer.h"
#include "data/tokenizer/piece_trie.h"
#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

/// The pieces of words seen lately, by their bytes: words of at most 16 bytes and 3 pieces, nearly all of a text. Fixed
/// size: 2 ways in each of 16384 sets of one cache line; the way used last is kept.
class WordCache {
  public:
    static constexpr uint32_t kMaxBytes = 16, kMaxPieces = 3;

    struct Entry {
        uint64_t low = 0, high = 0;  // the word's bytes and zeros; a word never holds a zero byte, so 0 means empty
        std::array<int32_t, kMaxPieces> ids{};
        uint32_t count = 0;
    };

    /// The word's entry; or, with count 0, where to put it: its bytes are set, the older of the two words of the set is
    /// gone.
    Entry& find(const char* bytes) {
        uint64_t low, high;
        std::memcpy(&low, bytes, 8);
        std::memcpy(&high, bytes + 8, 8);
        uint64_t hash = low * 0x9E3779B97F4A7C15 ^ high * 0xC2B2AE3D27D4EB4F;
        hash = (hash ^ hash >> 32) * 0x9E3779B97F4A7C15;
        Set& set = sets_[hash >> (64 - kSetBits)];
        if (set.ways[0].low == low && set.ways[0].high == high) return set.ways[0];
        std::swap(set.ways[0], set.ways[1]);
        if (set.ways[0].low != low || set.ways[0].high != high) set.ways[0] = {.low = low, .high = high};
        return set.ways[0];
    }

  private:
    static constexpr int kSetBits = 14;
    struct alignas(64) Set {
        std::array<Entry, 2> ways;
    };
    std::vector<Set> sets_ = std::vector<Set>(size_t{1} << kSetBits);
};

/// Collects ids in a small buffer (a vector's push_back for each is slow) and hands them over in bulk.
class IdBuffer {
  public:
    void begin(std::vector<int32_t>& ids, std::vector<uint8_t>* starts) {
        all_ids_ = &ids;
        all_starts_ = starts;
        size_ = 0;
    }

    /// Room for one more word: kMaxWordCodePoints ids, and the ids past the count that the cache's fixed-size copy
    /// writes.
    void reserve_word() {
        if (size_ > kSize - kMaxWordCodePoints - WordCache::kMaxPieces) flush();
    }
    void push(int32_t id, bool starts_word) {
        ids_[size_] = id;
        starts_[size_++] = starts_word ? 1 : 0;
    }
    void push(const WordCache::Entry& word) {
        static constexpr std::array<uint8_t, WordCache::kMaxPieces> kStarts = {1, 0, 0};
        std::memcpy(&ids_[size_], word.ids.data(), sizeof word.ids);
        std::memcpy(&starts_[size_], kStarts.data(), sizeof kStarts);
        size_ += word.count;
    }
    uint32_t size() const { return size_; }
    void truncate(uint32_t size) { size_ = size; }
    const int32_t* at(uint32_t position) const { return &ids_[position]; }

    void flush() {
        all_ids_->insert(all_ids_->end(), ids_.begin(), ids_.begin() + size_);
        if (all_starts_ != nullptr) all_starts_->insert(all_starts_->end(), starts_.begin(), starts_.begin() + size_);
        size_ = 0;
    }

  private:
    static constexpr uint32_t kSize = 2048;
    std::array<int32_t, kSize> ids_;
    std::array<uint8_t, kSize> starts_;
    uint32_t size_ = 0;
    std::vector<int32_t>* all_ids_ = nullptr;
    std::vector<uint8_t>* all_starts_ = nullptr;
};

/// A word of normalised text, and which code point of the text each of its bytes comes from.
struct PlacedWord {
    std::string bytes;
    std::vector<int32_t> origins;
    uint32_t code_points = 0;

    void append(const NormalizedCharacter& c) {
        char utf8[4];
        bytes.append(utf8, write_utf8(c.code_point, utf8));
        origins.resize(bytes.size(), c.origin);
        ++code_points;
    }
    Place place(size_t begin, size_t end) const {
        const auto first = origins.begin();
        const auto [low, high] =
            std::minmax_element(first + static_cast<ptrdiff_t>(begin), first + static_cast<ptrdiff_t>(end));
        return {*low, *high + 1};
    }
};

/// What BasicTokenizer::split() does, by the rules themselves.
std::vector<PlacedWord> placed_words(std::string_view text, const Normalization& normalization) {
    std::vector<PlacedWord> words(1);
    const auto end_word = [&words] {
        if (!words.back().bytes.empty()) words.emplace_back();
    };
    for (const NormalizedCharacter& c : normalized_characters(text, normalization)) {
        const bool alone = is_punctuation(c.code_point);
        if (c.code_point == U' ' || alone) end_word();
        if (c.code_point != U' ') words.back().append(c);
        if (alone) end_word();
    }
    if (words.back().bytes.empty()) words.pop_back();
    return words;
}

/// What all copies share.
struct Tables {
    PieceTrie trie;
    int32_t unk;
};

std::vector<std::string> tokens_of(const Vocabulary& vocabulary) {
    std::vector<std::string> tokens;
    tokens.reserve(static_cast<size_t>(vocabulary.size()));
    for (int32_t id = 0; id < vocabulary.size(); ++id) tokens.push_back(vocabulary.token(id));
    return tokens;
}

}  // namespace

struct WordPiece::State {
    std::shared_ptr<const Tables> tables;
    BasicTokenizer basic;
    WordCache cache;
    IdBuffer out;

    State(std::shared_ptr<const Tables> shared, const Normalization& normalization)
        : tables(std::move(shared)), basic(normalization) {}

    /// Greedy longest match first; a word that cannot be put together is one [UNK].
    void match(const Word& word) {
        const uint32_t begin = out.size();
        std::string_view rest = word.too_long ? std::string_view() : word.view();
        for (bool inside = false; !rest.empty(); inside = true) {
            const PieceTrie::Match piece = tables->trie.longest(rest, inside);
            if (piece.id < 0) break;
            out.push(piece.id, !inside);
            rest.remove_prefix(piece.size);
        }
        if (!rest.empty() || word.too_long) {
            out.truncate(begin);
            out.push(tables->unk, true);
        }
    }

    void add(const Word& word) {
        out.reserve_word();
        if (word.size > WordCache::kMaxBytes) {
            match(word);
            return;
        }
        WordCache::Entry& entry = cache.find(word.bytes);
        if (entry.count > 0) {
            out.push(entry);
            return;
        }
        const uint32_t begin = out.size();
        match(word);
        const uint32_t count = out.size() - begin;
        if (count > WordCache::kMaxPieces) return;
        std::memcpy(entry.ids.data(), out.at(begin), count * sizeof(int32_t));
        entry.count = count;
    }
};

WordPiece::WordPiece(const Vocabulary& vocabulary, const Normalization& normalization)
    : state_(std::make_unique<State>(
          std::make_shared<const Tables>(Tables{PieceTrie(tokens_of(vocabulary)), vocabulary.special().unk}),
          normalization)) {}
WordPiece::~WordPiece() = default;
WordPiece::WordPiece(const WordPiece& other)
    : state_(std::make_unique<State>(other.state_->tables, other.state_->basic.normalization())) {}

void WordPiece::encode(std::string_view text, std::vector<int32_t>& ids, std::vector<uint8_t>* word_starts) {
    State& state = *state_;
    state.out.begin(ids, word_starts);
    state.basic.split(text, [&state](const Word& word) { state.add(word); });
    state.out.flush();
}

void WordPiece::encode_with_places(std::string_view text, std::vector<int32_t>& ids, std::vector<Place>& places) {
    const Tables& tables = *state_->tables;
    for (const PlacedWord& word : placed_words(text, state_->basic.normalization())) {
        const std::string_view bytes = word.bytes;
        const size_t before = ids.size();
        size_t at = 0;
        while (word.code_points <= kMaxWordCodePoints && at < bytes.size()) {
            const PieceTrie::Match piece = tables.trie.longest(bytes.substr(at), at > 0);
            if (piece.id < 0) break;
            ids.push_back(piece.id);
            places.push_back(word.place(at, at + piece.size));
            at += piece.size;
        }
        if (at == bytes.size()) continue;
        places.resize(places.size() - (ids.size() - before));
        ids.resize(before);
        ids.push_back(tables.unk);
        places.push_back(word.place(0, bytes.size()));
    }
}

size_t WordPiece::safe_cut(std::string_view text) const { return state_->basic.safe_cut(text); }

}  // namespace dropforge::data
