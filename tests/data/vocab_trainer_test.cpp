// The vocabulary trainer: joins by hand, equality with a plain recount, threads, pruning, refusals.
// label: threads
#include "data/tokenizer/vocab_trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/error.h"
#include "data/tokenizer/pair_merger.h"
#include "data/tokenizer/unicode.h"
#include "data/tokenizer/wordpiece.h"

using namespace dropforge;
using namespace dropforge::data;

namespace {

using Tokens = std::vector<std::string>;

const Tokens kSpecial = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

TrainedVocabulary train_all(std::string_view text, size_t size, VocabTrainerOptions options = {}) {
    VocabTrainer trainer(options);
    trainer.add(text);
    return trainer.train(size);
}

Tokens train(std::string_view text, size_t size, VocabTrainerOptions options = {}) {
    return train_all(text, size, options).tokens;
}

std::string error_of(const auto& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

/// Words of syllables, some far more frequent than others.
std::string random_text(uint32_t seed, int words) {
    std::mt19937 random(seed);
    static constexpr const char* kSyllables[] = {"an", "ba",  "aa",       "the", "er", "o",
                                                 "st", "sta", "\xC3\xB8", "qu",  "7",  "ing"};
    std::string text;
    for (int i = 0; i < words; ++i) {
        for (unsigned n = 1 + random() % 4; n > 0; --n) text += kSyllables[std::min(random() % 12, random() % 12)];
        text += random() % 9 == 0 ? ", " : " ";
    }
    return text;
}

/// Pair encoding that counts all pairs again for every join.
Tokens train_plainly(const VocabTrainer& trainer, std::string_view text, size_t size) {
    Tokens tokens = kSpecial;
    std::map<Tokens, uint64_t> words;
    std::set<std::string> first, inside;
    const WordCounts counted = trainer.count(text);
    for (const auto& [word, count] : counted.sorted()) {
        Tokens characters;
        for (const char c : word) {
            const bool continues = (static_cast<unsigned char>(c) & 0xC0U) == 0x80;
            if (!continues) characters.push_back(characters.empty() ? "" : "##");
            characters.back() += c;
        }
        for (size_t i = 0; i < characters.size(); ++i) {
            first.insert(characters[i].substr(i == 0 ? 0 : 2));
            if (i > 0) inside.insert(characters[i]);
        }
        words[characters] += count;
    }
    tokens.insert(tokens.end(), first.begin(), first.end());
    tokens.insert(tokens.end(), inside.begin(), inside.end());
    const auto id = [&](const std::string& token) { return std::ranges::find(tokens, token) - tokens.begin(); };
    while (tokens.size() < size) {
        std::map<std::pair<ptrdiff_t, ptrdiff_t>, uint64_t> pairs;
        for (const auto& [word, count] : words) {
            for (size_t i = 0; i + 1 < word.size(); ++i) pairs[{id(word[i]), id(word[i + 1])}] += count;
        }
        const auto best =
            std::ranges::max_element(pairs, {}, [](const auto& pair) { return pair.second; });  // the first of equals
        const std::string left = tokens[static_cast<size_t>(best->first.first)],
                          right = tokens[static_cast<size_t>(best->first.second)];
        const std::string joined = left + right.substr(2);
        if (std::ranges::find(tokens, joined) == tokens.end()) tokens.push_back(joined);
        std::map<Tokens, uint64_t> next;
        for (const auto& [word, count] : words) {
            Tokens shorter;
            for (size_t i = 0; i < word.size(); ++i) {
                const bool match = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
                shorter.push_back(match ? joined : word[i]);
                i += match ? 1 : 0;
            }
            next[shorter] += count;
        }
        words = std::move(next);
    }
    return tokens;
}

}  // namespace

TEST_CASE("special tokens, alphabet by code point, then joins by frequency") {
    // ##u ##g 10 + 5 + 5 = 20; ##u ##n 12 + 4 = 16; h ##ug 10 + 5 = 15; p ##un 12.
    std::string text;
    for (const auto& [word, count] :
         std::map<std::string, int>{{"hug", 10}, {"pug", 5}, {"pun", 12}, {"bun", 4}, {"hugs", 5}}) {
        for (int i = 0; i < count; ++i) text += word + "\n";
    }
    Tokens expected = kSpecial;
    for (const char* token :
         {"b", "g", "h", "n", "p", "s", "u", "##g", "##n", "##s", "##u", "##ug", "##un", "hug", "pun"})
        expected.push_back(token);
    CHECK(train(text, 20) == expected);
}

TEST_CASE("text is normalised as the tokenizer does it") {
    const Tokens uncased = train("Ab\xC3\xA9 AB\xC3\x89 abe\xCC\x81", 11);
    CHECK(Tokens(uncased.begin() + 5, uncased.end()) == Tokens{"a", "b", "e", "##b", "##e", "ab"});
    const Tokens cased = train("Ab Ab ab", 10, {.normalization = kCased});
    CHECK(Tokens(cased.begin() + 5, cased.end()) == Tokens{"A", "a", "b", "##b", "Ab"});
}

TEST_CASE("ties go to the pair of the lower ids") {
    const Tokens tokens = train("xy ab xy ab ba ba", 14);
    CHECK(Tokens(tokens.begin() + 5, tokens.end()) == Tokens{"a", "b", "x", "y", "##a", "##b", "##y", "ab", "ba"});
}

TEST_CASE("joins equal those of a plain recount") {
    for (uint32_t seed = 0; seed < 6; ++seed) {
        const std::string text = random_text(seed, 400);
        CAPTURE(seed);
        CHECK(train(text, 90) == train_plainly(VocabTrainer(), text, 90));
    }
}

TEST_CASE("overlapping pairs are joined from the left") {
    PairMerger merger;
    const std::vector<int32_t> word = {1, 1, 1, 1, 1};
    merger.add_word(word, 3);
    CHECK(merger.best().count == 12);
    merger.join({1, 1}, 2);  // 2 2 1
    CHECK(merger.best().count == 3);
    CHECK(merger.best().pair.left == 2);
    CHECK(merger.best().pair.right == 1);
    merger.join({2, 1}, 3);  // 2 3
    merger.join({2, 3}, 4);
    CHECK(merger.best().count == 0);
}

TEST_CASE("every word of the text can be put together from the vocabulary") {
    const std::string text = random_text(77, 2000);
    const Vocabulary vocabulary(train(text, 200));
    WordPiece tokenizer(vocabulary, kUncased);
    std::vector<int32_t> ids;
    tokenizer.encode(text, ids);
    CHECK(ids.size() > 2000);
    CHECK(std::ranges::count(ids, vocabulary.special().unk) == 0);
}

TEST_CASE("the alphabet keeps the most frequent characters; words with others are not learned from") {
    const Tokens tokens = train("aab aab aab ba ba xaa xaa", 10, {.alphabet_limit = 2});
    CHECK(Tokens(tokens.begin() + 5, tokens.end()) == Tokens{"a", "b", "##a", "##b", "aa"});
}

TEST_CASE("a vocabulary that the text cannot fill is smaller") {
    const TrainedVocabulary trained = train_all("abc abc xyz", 30522);
    CHECK(trained.tokens == train("abc abc xyz", 17));
    CHECK(trained.tokens.size() == 17);
    CHECK(trained.characters == 6);
    CHECK(trained.coverage == 1);
}

TEST_CASE("a vocabulary that does not hold the alphabet has its most frequent characters") {
    const TrainedVocabulary trained = train_all("abc abc ab b", 8);  // b 4, a 3, c 2 times
    CHECK(Tokens(trained.tokens.begin() + 5, trained.tokens.end()) == Tokens{"a", "b", "##b"});
    CHECK(trained.characters == 2);
    CHECK(trained.text_characters == 3);
    CHECK(trained.coverage == doctest::Approx(7. / 9));
    CHECK(train("abc abc ab b", 7).size() == 6);  // b and a would be three tokens
}

TEST_CASE("without a limit the alphabet grows until 99.95 % are covered, or to half of the vocabulary") {
    // Ideographs of three kinds, one more frequent than the other; and words to make pieces of.
    std::string text;
    const auto ideograph = [](int i) {
        char bytes[4];
        return std::string(bytes, write_utf8(0x4E00 + static_cast<char32_t>(i), bytes));
    };
    for (int i = 0; i < 2040; ++i) {
        for (int n = 0; n < (i < 1000 ? 90 : i < 2000 ? 30 : 1); ++n) text += ideograph(i);
    }
    for (int i = 0; i < 6000; ++i)
        text += std::string(2, static_cast<char>('a' + i % 20)).append(std::to_string(i % 3000)).append(" ");
    const TrainedVocabulary large = train_all(text, 4200);
    CHECK(large.coverage >= 0.9995);
    CHECK(large.characters < large.text_characters);
    CHECK(std::ranges::count(large.tokens, ideograph(1900)) == 1);

    const TrainedVocabulary medium = train_all(text, 2400);
    CHECK(medium.tokens.size() == 2400);
    CHECK(medium.characters > 1000);
    CHECK(medium.characters < 1200);
    CHECK(train_all(text, 1200).characters == 1000);
    CHECK(train_all(text, 4200, {.alphabet_limit = 700}).characters == 700);
}

TEST_CASE("what a text without pieces leaves of the vocabulary goes to characters") {
    std::string text;
    for (char32_t c = 0x4E00; c < 0x4E00 + 1200; ++c) {
        char bytes[4];
        text += std::string(bytes, write_utf8(c, bytes));
    }
    const TrainedVocabulary trained = train_all(text, 1205);
    CHECK(trained.tokens.size() == 1205);
    CHECK(trained.coverage == 1);
    CHECK(train(text, 1150).size() == 1150);
    CHECK(train(text, 1205, {.alphabet_limit = 1000}).size() == 1005);
}

TEST_CASE(
    "the same whatever threads count the blocks and in whatever order they come, also when rare words are forgotten") {
    constexpr uint64_t kBlocks = 24;
    const auto run = [&](unsigned threads, size_t word_limit) {
        VocabTrainer trainer({.word_limit = word_limit});
        std::vector<std::jthread> workers;
        for (unsigned t = 0; t < threads; ++t) {
            workers.emplace_back([&, t] {
                for (uint64_t block = kBlocks; block-- > 0;) {  // the last first: all others wait for theirs
                    if (block % threads == t)
                        trainer.add(block, trainer.count(random_text(static_cast<uint32_t>(block), 500)));
                }
            });
        }
        workers.clear();
        return std::pair(trainer.train(100).tokens, trainer.forgotten());
    };
    const auto all = run(1, 1 << 20), few = run(1, 500);
    CHECK(all.second == 0);
    CHECK(few.second > 0);
    for (const unsigned threads : {2U, 3U}) {
        CHECK(run(threads, 1 << 20) == all);
        CHECK(run(threads, 500) == few);
    }
}

TEST_CASE("no more words are held than the limit, and the frequent ones stay") {
    VocabTrainer trainer({.word_limit = 1000});
    for (int block = 0; block < 50; ++block) {
        std::string text;
        for (int i = 0; i < 400; ++i) text += "frequent w" + std::to_string(block * 400 + i) + " ";
        trainer.add(text);
        CHECK(trainer.words() <= 1000);
    }
    CHECK(trainer.forgotten() > 15000);
    const Tokens tokens = trainer.train(50).tokens;
    CHECK(std::ranges::count(tokens, "frequent") == 1);
}

TEST_CASE("word counts") {
    WordCounts counts;
    std::map<std::string, uint64_t> expected;
    std::mt19937 random(5);
    for (int i = 0; i < 30000; ++i) {
        const std::string word = std::to_string(std::min(random() % 9000, random() % 9000));
        const uint64_t count = 1 + random() % 3;
        counts.add(word, count);
        expected[word] += count;
    }
    const auto equal = [&] {
        const auto items = counts.sorted();
        return std::ranges::equal(
            items, expected, [](const auto& a, const auto& b) { return a.word == b.first && a.count == b.second; });
    };
    CHECK(equal());
    CHECK(counts.count("1") == expected["1"]);
    CHECK(counts.count("none") == 0);
    const size_t before = expected.size();
    std::erase_if(expected, [](const auto& item) { return item.second < 5; });
    CHECK(counts.prune(5) == before - expected.size());
    CHECK(equal());
    counts.add(WordCounts(counts));
    for (auto& [word, count] : expected) count *= 2;
    CHECK(equal());
}

TEST_CASE("refusals") {
    CHECK(error_of([] { train(" \n", 100); }) == "the text has no words to train a vocabulary on");
    CHECK(error_of([] { train("abc abc", 5); }) ==
          "a vocabulary of 5 is too small: the special tokens and one character alone are 6");
    CHECK(error_of([] { train("aa", 6); }) ==
          "a vocabulary of 6 is too small: the special tokens and one character alone are 7");
    VocabTrainer trainer;
    trainer.add(1, trainer.count("a"));
    CHECK(error_of([&] { trainer.train(10); }) == "vocabulary trainer: block 0 is missing");
    CHECK(error_of([&] { trainer.add(1, trainer.count("a")); }) == "vocabulary trainer: block 1 was added twice");
    trainer.add(0, trainer.count("b"));
    CHECK(error_of([&] { trainer.add(0, trainer.count("a")); }) == "vocabulary trainer: block 0 was added twice");
    CHECK(trainer.train(7).tokens.size() == 7);
}
