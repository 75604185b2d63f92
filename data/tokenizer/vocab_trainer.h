// Makes a WordPiece vocabulary from text, as Hugging Face's BertWordPieceTokenizer.train does: special tokens, the
// alphabet, then the most frequent pair of neighbouring pieces again and again (byte-pair encoding, Sennrich et al.
// 2016, with ## before pieces inside a word).
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
    /// Characters; words with a rarer one are not learned from (they'd be [UNK]). Without a limit: 1000, or more until
    /// 99.95 % of the text's are covered, as long as half of the vocabulary is left for pieces; and more still where
    /// the text has too few pieces.
    std::optional<size_t> alphabet_limit = std::nullopt;
    uint64_t min_frequency = 2;           // a pair met less often is not joined
    size_t word_limit = size_t{1} << 21;  // different words counted; about 50 bytes each
};

struct TrainedVocabulary {
    std::vector<std::string> tokens;
    size_t characters, text_characters;  // in the vocabulary, in the text
    double coverage;                     // the share of the text's characters, each time they occur, that are known
};

/// Feed text in blocks, then train. Blocks may be counted by many threads (count() and add() are thread-safe):
///     trainer.add(block, trainer.count(text));
/// The result depends on the text and on how it was cut into blocks, never on threads: blocks are merged in the order
/// of their numbers (one that comes early waits, so hand numbers out in order), and only merging, when more than
/// word_limit different words are held, forgets rare ones.
class VocabTrainer {
  public:
    explicit VocabTrainer(VocabTrainerOptions options = {});

    /// The words of one block. Cut blocks where the tokenizer may be cut (BasicTokenizer::safe_cut); some MB each,
    /// since a block is not pruned.
    WordCounts count(std::string_view text) const;
    /// Adds the counts of block number `block` (0, 1, 2, … each exactly once; throws Error for one that was there).
    void add(uint64_t block, WordCounts counts);
    /// The next block, for callers with one thread.
    void add(std::string_view text);

    /// Different words held, and forgotten so far because of word_limit (a word forgotten twice counts twice).
    size_t words() const;
    size_t forgotten() const;

    /// `size` tokens, or as many as the text gives: [PAD] [UNK] [CLS] [SEP] [MASK], the alphabet (by code point; first
    /// in a word, then inside), then pieces in the order of their making; ties go to the pair of the lower ids. A
    /// `size` that does not hold the alphabet has its most frequent characters. Throws Error if it holds none, or if
    /// the text has no words, or a block is missing.
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
