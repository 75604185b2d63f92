#include "data/tokenizer/vocab_trainer.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "data/tokenizer/pair_merger.h"
#include "data/tokenizer/unicode.h"

namespace dropforge::data {

namespace {

constexpr std::array<const char*, 5> kSpecialTokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
constexpr size_t kFewestCharacters = 1000;  // as Hugging Face's trainer has it
constexpr double kCoverage = 0.9995;        // SentencePiece's for Chinese and Japanese

/// Tokens and their ids while a vocabulary grows.
class Growing {
  public:
    Growing() : tokens_(kSpecialTokens.begin(), kSpecialTokens.end()) {}

    /// The id of a token, new or not: "ab" + "##c" and "a" + "##bc" are one piece.
    int32_t add(const std::string& token) {
        const auto [at, is_new] = ids_.try_emplace(token, static_cast<int32_t>(tokens_.size()));
        if (is_new) tokens_.push_back(token);
        return at->second;
    }
    int32_t add(char32_t c, bool inside) {
        char bytes[4];
        return add((inside ? "##" : "") + std::string(bytes, write_utf8(c, bytes)));
    }
    int32_t join(PairMerger::Pair pair) { return add(token(pair.left) + token(pair.right).substr(2)); }
    size_t size() const { return tokens_.size(); }
    std::vector<std::string> take() { return std::move(tokens_); }

  private:
    const std::string& token(int32_t id) const { return tokens_[static_cast<size_t>(id)]; }

    std::vector<std::string> tokens_;
    std::unordered_map<std::string, int32_t> ids_;
};

/// The vocabulary that words give with these characters: all there is to join, or `size` tokens. A word with another
/// character will be [UNK], however it is cut: there is nothing to learn from it.
std::vector<std::string> grow(std::vector<WordCounts::Item> words, const std::u32string& alphabet, size_t size,
                              uint64_t min_frequency) {
    std::erase_if(words, [&alphabet](const WordCounts::Item& item) {
        return !std::ranges::all_of(code_points(item.word),
                                    [&](char32_t c) { return std::ranges::binary_search(alphabet, c); });
    });
    std::map<char32_t, int32_t> start_ids, inside_ids;
    for (const char32_t c : alphabet) start_ids[c] = 0;  // also those that no word here begins with: another text's may
    for (const WordCounts::Item& item : words) {
        for (const char32_t c : code_points(item.word).substr(1)) inside_ids[c] = 0;
    }
    Growing vocabulary;
    for (auto& [c, id] : start_ids) id = vocabulary.add(c, false);
    for (auto& [c, id] : inside_ids) id = vocabulary.add(c, true);

    PairMerger merger;
    std::vector<int32_t> symbols;
    for (const WordCounts::Item& item : words) {
        const std::u32string characters = code_points(item.word);
        symbols.assign(1, start_ids[characters[0]]);
        for (const char32_t c : characters.substr(1)) symbols.push_back(inside_ids[c]);
        merger.add_word(symbols, item.count);
    }
    while (vocabulary.size() < size) {
        const PairMerger::Best best = merger.best();
        if (best.count < std::max<uint64_t>(min_frequency, 1)) break;
        merger.join(best.pair, vocabulary.join(best.pair));
    }
    return vocabulary.take();
}

}  // namespace

VocabTrainer::VocabTrainer(VocabTrainerOptions options) : options_(options), tokenizer_(options.normalization) {}

WordCounts VocabTrainer::count(std::string_view text) const {
    BasicTokenizer tokenizer = tokenizer_;
    WordCounts counts;
    tokenizer.split(text, [&counts](const Word& word) {
        if (!word.too_long) counts.add(word.view());
    });
    return counts;
}

void VocabTrainer::merge(const WordCounts& counts) {
    words_.add(counts);
    // Down to half of the limit, so that this is seldom. The threshold never falls: as with lossy counting (Manku and
    // Motwani 2002) what is forgotten of a word is less than the threshold each time.
    while (words_.size() > options_.word_limit) {
        do {
            forgotten_ += words_.prune(++least_);
        } while (words_.size() > options_.word_limit / 2);
    }
}

void VocabTrainer::add(uint64_t block, WordCounts counts) {
    const std::scoped_lock lock(mutex_);
    require(block >= next_block_ && !early_.contains(block), "vocabulary trainer: block {} was added twice", block);
    early_.emplace(block, std::move(counts));
    for (auto next = early_.begin(); next != early_.end() && next->first == next_block_; next = early_.erase(next)) {
        merge(next->second);
        ++next_block_;
    }
}

void VocabTrainer::add(std::string_view text) {
    WordCounts counts = count(text);
    uint64_t block;
    {
        const std::scoped_lock lock(mutex_);
        block = next_block_;
    }
    add(block, std::move(counts));
}

size_t VocabTrainer::words() const {
    const std::scoped_lock lock(mutex_);
    return words_.size();
}

size_t VocabTrainer::forgotten() const {
    const std::scoped_lock lock(mutex_);
    return forgotten_;
}

// The number of characters of a vocabulary with `room` for characters and pieces.
size_t VocabTrainer::first_characters(const Alphabet& alphabet, size_t room) const {
    size_t wanted = options_.alphabet_limit.value_or(kFewestCharacters);
    if (!options_.alphabet_limit) {
        const size_t covering = alphabet.covering(kCoverage);
        wanted = std::max(wanted, std::min(covering, alphabet.fitting(room / 2)));
    }
    return std::min({wanted, alphabet.size(), alphabet.fitting(room)});
}

TrainedVocabulary VocabTrainer::train(size_t size) const {
    const std::scoped_lock lock(mutex_);
    require(early_.empty(), "vocabulary trainer: block {} is missing", next_block_);
    require(words_.size() > 0, "the text has no words to train a vocabulary on");
    const std::vector<WordCounts::Item> words = words_.sorted();
    const Alphabet alphabet(words);
    const size_t least = kSpecialTokens.size() + alphabet.tokens(1);
    require(size >= least, "a vocabulary of {} is too small: the special tokens and one character alone are {}", size,
            least);

    size_t characters = first_characters(alphabet, size - kSpecialTokens.size());
    for (;;) {
        std::vector<std::string> tokens = grow(words, alphabet.most_frequent(characters), size, options_.min_frequency);
        // What the text has no pieces for goes to rarer characters.
        const size_t more =
            options_.alphabet_limit ? characters : alphabet.fitting(alphabet.tokens(characters) + size - tokens.size());
        if (more <= characters) return {std::move(tokens), characters, alphabet.size(), alphabet.coverage(characters)};
        characters = more;
    }
}

}  // namespace dropforge::data
