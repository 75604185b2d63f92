// BERT's tokenizer: basic tokenization, then WordPiece, which takes the longest piece first. The ids are those of
// Hugging Face's fast tokenizer (BertNormalizer, BertPreTokenizer, WordPiece).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "data/tokenizer/normalization.h"

namespace dropforge::data {

/// The ids of [PAD], [UNK], [CLS], [SEP] and [MASK].
struct SpecialIds {
    int32_t pad, unk, cls, sep, mask;
};

/// A vocab.txt: one token a line, whose id is the line's number. Lines end in LF or CR LF.
class Vocabulary {
  public:
    /// Reads the file. Error that names file and line for duplicates, empty or invalid lines, a missing special token.
    static Vocabulary load(const fs::path& path);
    explicit Vocabulary(std::vector<std::string> tokens, const std::string& origin = "vocabulary");

    int32_t size() const { return static_cast<int32_t>(tokens_.size()); }
    const std::string& token(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }
    const SpecialIds& special() const { return special_; }
    void save(const fs::path& path) const;

  private:
    std::vector<std::string> tokens_;
    SpecialIds special_{};
};

/// Code points [begin, end) of a text.
struct Place {
    int32_t begin, end;

    friend bool operator==(const Place&, const Place&) = default;
};

/// Not thread-safe (keeps a cache of words, 1 MB): give each thread its own copy. Copies share the tables.
class WordPiece {
  public:
    WordPiece(const Vocabulary& vocabulary, const Normalization& normalization);
    ~WordPiece();
    WordPiece(const WordPiece&);
    WordPiece& operator=(const WordPiece&) = delete;

    /// Appends the ids of `text` (UTF-8; invalid bytes are dropped). word_starts, if given, gets an entry for each id:
    /// 1 where a word begins. Special tokens are neither added nor recognised.
    void encode(std::string_view text, std::vector<int32_t>& ids, std::vector<uint8_t>* word_starts = nullptr);

    /// The ids of encode(), and the place of each piece: from the first to the last code point that any of its
    /// characters comes from. Code points that vanish (accents, controls) are in no place unless they stand between two
    /// of those. A fifteenth of its speed.
    void encode_with_places(std::string_view text, std::vector<int32_t>& ids, std::vector<Place>& places);

    /// Where a long text may be cut: encoding its first safe_cut(text) bytes and then the rest, with what follows,
    /// gives the ids of encoding it at once. 0: no such place (see BasicTokenizer::safe_cut).
    size_t safe_cut(std::string_view text) const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace dropforge::data
