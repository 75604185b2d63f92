// Training of a WordPiece vocabulary, as by Hugging Face's BertWordPieceTokenizer.train: special tokens, the alphabet,
// then repeatedly the most frequent pair of neighbouring pieces (byte-pair encoding, Sennrich et al. 2016, with ##
// before pieces inside a word).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/alphabet.h"
#include "data/tokenizer/basic_tokenizer.h"
#include "data/tokenizer/word_counts.h"

namespace dropforge::data {

struct VocabTrainerOptions {
    Normalization normalization = {};
    /// The limit of characters; words with a rarer one are ignored, as they will be [UNK]. Without a limit: 1000, or
    /// more until 99.95 % of the text's characters are covered, but at most half of the vocabulary; and more where the
    /// text has too few pieces.
    std::optional<size_t> alphabet_limit = std::nullopt;
    uint64_t min_frequency = 2;           // rarer pairs are not joined
    size_t word_limit = size_t{1} << 21;  // the limit of different words; about 50 bytes each
};

struct TrainedVocabulary {
    std::vector<std::string> tokens;
    size_t characters, text_characters;  // in the vocabulary, in the text
    double coverage;                     // the share of the text's characters, each time they occur, that are known
};

/// Counts the words of blocks of text, then trains. count() and add() are thread-safe:
///     trainer.add(block, trainer.count(text));
/// The result depends on the text and its division into blocks, not on threads: blocks are merged in the order of their
/// numbers (an early one waits, so numbers should be given in order), and rare words are forgotten only when a merge
/// leaves more than word_limit.
class VocabTrainer {
  public:
    explicit VocabTrainer(VocabTrainerOptions options = {});

    /// The words of a block, which is a few MB (it is not pruned) and ends at a BasicTokenizer::safe_cut.
    WordCounts count(std::string_view text) const;
    /// Adds the counts of block number `block`: 0, 1, 2, … each once. Error for a repeated number.
    void add(uint64_t block, WordCounts counts);
    /// Adds the next block, for callers with one thread.
    void add(std::string_view text);

    /// The number of different words counted, and of those forgotten because of word_limit (one forgotten twice counts
    /// twice).
    size_t words() const;
    size_t forgotten() const;

    /// The vocabulary of `size` tokens, or fewer if the text does not have as many: [PAD] [UNK] [CLS] [SEP] [MASK], the
    /// alphabet (by code point; at the start of a word, then inside), and joined pieces in order; of equally frequent
    /// pairs that of the lower ids comes first. If `size` is too small for the alphabet, it has the most frequent
    /// characters. Error if there is room for none, if the text has no words, or if a block is missing.
    TrainedVocabulary train(size_t size) const;

  private:
    void merge(const WordCounts& counts);
    size_t first_characters(const Alphabet& alphabet, size_t room) const;

    VocabTrainerOptions options_;
    BasicTokenizer tokenizer_;
    mutable std::mutex mutex_;
    WordCounts words_;
    uint64_t next_block_ = 0, least_ = 1;
    size_t forgotten_ = 0;
    std::map<uint64_t, WordCounts> early_;  // blocks whose turn has not come
};

}  // namespace dropforge::data
