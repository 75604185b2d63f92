// BERT's tokenizer: every rule by own cases, an independent plain implementation on random input, caches and cuts, and
// (where DROPFORGE_TOKENIZER_GOLDEN and DROPFORGE_TOKENIZER_VOCAB name folders) the ids that Hugging Face's fast
// tokenizer gave.
#include "data/tokenizer/wordpiece.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "data/tokenizer/alphabet.h"
#include "data/tokenizer/ascii_run.h"
#include "data/tokenizer/basic_tokenizer.h"
#include "data/tokenizer/unicode.h"
#include "tests/support/paths.h"
#include "tests/support/plain_tokenizer.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

const fs::path kGolden = fs::path(kTestData) / "tokenizer";

Ids encode(WordPiece& tokenizer, std::string_view text) {
    Ids ids;
    tokenizer.encode(text, ids);
    return ids;
}

std::vector<std::string> pieces(WordPiece& tokenizer, std::string_view text) {
    std::vector<std::string> result;
    for (const int32_t id : encode(tokenizer, text)) result.push_back(vocabulary().token(id));
    return result;
}

std::vector<nlohmann::json> read_lines(const fs::path& path) {
    std::ifstream file(path);
    REQUIRE_MESSAGE(file.good(), path.string());
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

/// Text that meets many rules: pieces of the vocabulary, odd code points, broken bytes.
std::string random_text(std::mt19937& random, size_t parts) {
    static constexpr char32_t kOdd[] = {0,      ' ',    ' ',    '\n',   0x7F,    0xA0,    0xAD,    0x130,   0x301,
                                        0x345,  0x34F,  0x378,  0x3A3,  0x9CB,   0x9C7,   0xF73,   0x200B,  0x2028,
                                        0x212A, 0x226E, 0x302E, 0x3099, 0x3000,  0x5B57,  0xAC00,  0xD55C,  0xF900,
                                        0xFB01, 0xFFFD, 0xFFFF, 0x1B44, 0x1D15E, 0x1D165, 0x1D16D, 0x1F44D, 0x10FFFF};
    const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
    std::string text;
    for (size_t i = 0; i < parts; ++i) {
        char bytes[4];
        switch (below(6)) {
            case 0:
                text += vocabulary().token(static_cast<int32_t>(below(static_cast<size_t>(vocabulary().size()))));
                break;
            case 1:
                text.append(bytes, write_utf8(kOdd[below(std::size(kOdd))], bytes));
                break;
            case 2:
                text += static_cast<char>(below(256));
                break;
            case 3:
                text.append(below(20), static_cast<char>('a' + below(3)));
                break;
            case 4:
                text += ' ';
                break;
            default:
                text.append(bytes, write_utf8(static_cast<char32_t>(below(kCodePoints)), bytes));
                break;  // surrogates too
        }
    }
    return text;
}

/// All settings of the three switches.
std::vector<Normalization> all_normalizations() {
    std::vector<Normalization> all;
    for (const bool lower : {true, false})
        for (const bool strip : {true, false})
            for (const bool split : {true, false}) all.push_back({lower, strip, split});
    return all;
}

}  // namespace

TEST_CASE("every rule: tests/golden/tokenizer/cases.jsonl") {
    WordPiece uncased(vocabulary(), kUncased), cased(vocabulary(), kCased);
    int checked = 0;
    for (const nlohmann::json& line : read_lines(kGolden / "cases.jsonl")) {
        CAPTURE(line.at("name").get<std::string>());
        const auto text = line.at("text").get<std::string>();
        using Pieces = std::vector<std::string>;
        if (line.contains("uncased")) {
            CHECK(pieces(uncased, text) == line.at("uncased").get<Pieces>());
            ++checked;
        }
        if (line.contains("cased")) {
            CHECK(pieces(cased, text) == line.at("cased").get<Pieces>());
            ++checked;
        }
    }
    CHECK(checked >= 90);
}

TEST_CASE("ids are the line numbers of the vocabulary, counted from 0") {
    WordPiece tokenizer(vocabulary(), kUncased);
    CHECK(encode(tokenizer, "[mask] UNAFFABLE, zab") == Ids{5, 16, 6, 17, 18, 19, 10, 1});
    CHECK(vocabulary().special().mask == 4);
}

TEST_CASE("invalid UTF-8 vanishes, and with it nothing valid") {
    WordPiece tokenizer(vocabulary(), kUncased);
    const std::vector<std::string> the = {"the"}, two = {"the", "the"}, comma = {"the", ",", "the"};
    for (const char* bad :
         {"\x80", "\xBF\xBF", "\xC0\xAF", "\xC3", "\xE2\x82", "\xED\xA0\x80", "\xEF\xBF\xBD", "\xF0\x80\x80\xAF",
          "\xF0\x9F\x91", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF\xFE"}) {
        CAPTURE(bad);
        CHECK(pieces(tokenizer, std::string("t") + bad + "he") == the);
        CHECK(pieces(tokenizer, std::string("the") + bad) == the);
        CHECK(pieces(tokenizer, bad + std::string("the")) == the);
        CHECK(pieces(tokenizer, std::string("the") + bad + " the") == two);
        CHECK(pieces(tokenizer, std::string("the") + bad + ",the") == comma);
        CHECK(pieces(tokenizer, std::string("unbelievably") + bad + "the the the the") ==
              std::vector<std::string>{"[UNK]", "the", "the", "the"});
    }
}

TEST_CASE("word_starts marks the first piece of each word") {
    WordPiece tokenizer(vocabulary(), kUncased);
    for (int pass = 0; pass < 2; ++pass) {  // the second from the cache
        Ids ids;
        std::vector<uint8_t> starts;
        tokenizer.encode("unaffable, the aaaaaaaaaaaaaaaaaaa zz", ids, &starts);
        std::vector<uint8_t> expected = {1, 0, 0, 1, 1, 1};
        expected.insert(expected.end(), 9, 0);
        expected.push_back(1);
        CHECK(starts == expected);
        CHECK(ids.size() == starts.size());
    }
}

TEST_CASE("encode appends") {
    WordPiece tokenizer(vocabulary(), kUncased);
    Ids ids = {77};
    std::vector<uint8_t> starts = {9};
    tokenizer.encode("the", ids, &starts);
    CHECK(ids == Ids{77, encode(tokenizer, "the").at(0)});
    CHECK(starts == std::vector<uint8_t>{9, 1});
}

TEST_CASE("random text: equal to the rules applied one after another, with cold and warm cache, and when cut") {
    for (const Normalization& normalization : all_normalizations()) {
        CAPTURE(normalization.text());
        std::mt19937 random(1);
        const PlainTokenizer plain(normalization);
        WordPiece warm(vocabulary(), normalization);
        for (int round = 0; round < 1000; ++round) {
            const std::string text = random_text(random, 1 + static_cast<size_t>(round) % 60);
            CAPTURE(round);
            const Ids expected = plain.encode(text);
            REQUIRE(encode(warm, text) == expected);
            if (round % 100 == 0) {
                WordPiece copy(warm);
                REQUIRE(encode(copy, text) == expected);
            }
            const size_t part = std::uniform_int_distribution<size_t>(0, text.size())(random);
            const size_t cut = warm.safe_cut(std::string_view(text).substr(0, part));
            REQUIRE(cut <= part);
            Ids in_two;
            warm.encode(std::string_view(text).substr(0, cut), in_two);
            warm.encode(std::string_view(text).substr(cut), in_two);
            REQUIRE(in_two == expected);
        }
    }
}

TEST_CASE("random bytes of every length up to 64, ending where memory may end") {
    std::mt19937 random(3);
    const PlainTokenizer plain(kUncased);
    WordPiece tokenizer(vocabulary(), kUncased);
    for (size_t size = 0; size <= 64; ++size) {
        for (int round = 0; round < 40; ++round) {
            std::vector<char> bytes(size);  // of exactly this size, for AddressSanitizer
            for (char& byte : bytes) byte = static_cast<char>(random());
            const std::string_view text(bytes.data(), bytes.size());
            REQUIRE(encode(tokenizer, text) == plain.encode(text));
        }
    }
}

TEST_CASE("every code point alone and between letters: equal to the rules") {
    for (const Normalization& normalization : all_normalizations()) {
        const PlainTokenizer plain(normalization);
        WordPiece tokenizer(vocabulary(), normalization);
        int wrong = 0;
        for (char32_t c = 0; c < kCodePoints; c += c < 0x3100 || c > 0x1CF00 ? 1 : 7) {
            char bytes[4];
            const std::string own(bytes, write_utf8(c, bytes));
            const std::string text = own + " a" + own + "b";
            wrong += encode(tokenizer, text) == plain.encode(text) ? 0 : 1;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("what Unicode's versions disagree on is as in the tables of Hugging Face's tokenizer") {
    const auto words = [](bool cased, const std::u32string& text) {
        std::string bytes;
        for (const char32_t c : text) {
            char utf8[4];
            bytes.append(utf8, write_utf8(c, utf8));
        }
        std::vector<std::u32string> found;
        BasicTokenizer(cased ? kCased : kUncased).split(bytes, [&found](const Word& word) {
            found.push_back(code_points(word.view()));
        });
        return found;
    };
    using Words = std::vector<std::u32string>;
    for (const bool cased : {true, false}) {
        CHECK(words(cased, U"a\u061Db") == Words{U"a\u061Db"});            // punctuation since 14
        CHECK(words(cased, U"a\u166Db") == Words{U"a", U"\u166D", U"b"});  // until 13
        CHECK(words(cased, U"a\u0890b") == Words{U"a\u0890b"});            // a format character since 14
        CHECK(words(cased, U"a\U0002B820b") == Words{U"a\U0002B820b"});    // the library's own range of ideographs
        CHECK(words(cased, U"a\U0002B920b") == Words{U"a", U"\U0002B920", U"b"});
    }
    CHECK(words(false, U"a\u0898b\u0300") == Words{U"a\u0898b"});    // a non-spacing mark since 14
    CHECK(words(false, U"a\u1734b") == Words{U"ab"});                // until 13
    CHECK(words(false, U"\u1C89\uA7CB") == Words{U"\u1C8A\u0264"});  // small letters of 16
    CHECK(words(false, U"\u0130\u0049") == Words{U"ii"});            // two small letters, one of them a mark
    CHECK(words(false, U"\U00011938") == Words{U"\U00011938"});      // two characters since 13
    CHECK(words(false, U"a\U0001D165\U00016FF0") == Words{U"a\U0001D165\U00016FF0"});  // reordered since 13
    CHECK(words(false, U"a\U0001D16D\U0001D165") == Words{U"a\U0001D165\U0001D16D"});  // reordered in all
}

TEST_CASE("safe_cut: after the last white space, punctuation mark or ideograph") {
    const WordPiece tokenizer(vocabulary(), kUncased);
    CHECK(tokenizer.safe_cut("") == 0);
    CHECK(tokenizer.safe_cut("word") == 0);
    CHECK(tokenizer.safe_cut("two words") == 4);
    CHECK(tokenizer.safe_cut("two, words") == 5);
    CHECK(tokenizer.safe_cut("two\n") == 4);
    CHECK(tokenizer.safe_cut("\xE5\xAD\x97\xE5\xAD\x97x") == 6);
    CHECK(tokenizer.safe_cut("\xE5\xAD\x97\xE5\xAD") == 3);  // the second ideograph is not whole yet
    CHECK(tokenizer.safe_cut("a\xC2\xA0z\xCC\x81") == 3);
}

TEST_CASE("more different words than the cache holds") {
    std::vector<std::string> tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    for (char c = '0'; c <= '9'; ++c) tokens.push_back({c});
    for (char c = '0'; c <= '9'; ++c) tokens.push_back(std::string("##") + c);
    WordPiece tokenizer(Vocabulary(tokens), kUncased);
    std::string text;
    Ids expected;
    for (int n = 0; n < 200000; ++n) {
        const std::string word = std::to_string(n % 100000);
        text += word + ' ';
        for (size_t i = 0; i < word.size(); ++i) expected.push_back((i == 0 ? 5 : 15) + word[i] - '0');
    }
    CHECK(encode(tokenizer, text) == expected);
}

TEST_CASE("16 bytes at once equal one by one") {
    std::mt19937 random(4);
    for (int round = 0; round < 20000; ++round) {
        char text[16], fast[16], slow[16];
        const unsigned odd = random() % 17;
        for (unsigned i = 0; i < 16; ++i) {
            text[i] = i == odd ? static_cast<char>(random()) : "azAZ09mM"[random() % 8];
        }
        for (const bool lower : {false, true}) {
            REQUIRE(ascii_run(text, lower, fast) == ascii_run_scalar(text, lower, slow));
            REQUIRE(std::string_view(fast, 16) == std::string_view(slow, 16));
        }
    }
}

TEST_CASE("UTF-8: decoding, encoding, validity") {
    for (char32_t c = 0; c < kCodePoints; ++c) {
        char bytes[4];
        const size_t size = write_utf8(c, bytes);
        const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        const auto decoded = decode_utf8(bytes, bytes + size);
        if (decoded.code_point != (surrogate ? kReplacement : c) || (!surrogate && decoded.size != size))
            FAIL(static_cast<uint32_t>(c));
        if (is_valid_utf8({bytes, size}) == surrogate) FAIL(static_cast<uint32_t>(c));
    }
    CHECK(!is_valid_utf8("a\xE2\x82"));
    CHECK(is_valid_utf8("a\xEF\xBF\xBD"));
}

TEST_CASE("vocabularies that are refused, by line") {
    const TemporaryFolder folder;
    const fs::path path = folder / "vocab.txt";
    const auto message = [&](const std::string& text) -> std::string {
        write_text(path, text);
        try {
            Vocabulary::load(path);
        } catch (const Error& error) {
            return error.what();
        }
        return "";
    };
    const std::string special = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    CHECK(message(special + "a\n") == "");
    CHECK(message(special + "a") == "");
    CHECK(message("") == path.string() + ": empty; expected one token a line");
    CHECK(message(special + "a\nb\na\n") == path.string() + ", line 8: \"a\" is a duplicate of line 6");
    CHECK(message(special + "a\n\nb\n") == path.string() + ", line 7: empty; a vocabulary has one token on every line");
    CHECK(message(special + "a\xFF\n") == path.string() + ", line 6: not valid UTF-8");
    CHECK(message(special + "a b\n").find("line 6: \"a b\" holds a space") != std::string::npos);
    CHECK(message("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n").find(": no [MASK] among its 5 tokens") != std::string::npos);
    std::string windows = special + "a\n";
    for (size_t at = 0; (at = windows.find('\n', at)) != std::string::npos; at += 2) windows.insert(at, 1, '\r');
    CHECK(message(windows) == "");
    CHECK(Vocabulary::load(path).token(4) == "[MASK]");
    Vocabulary::load(path).save(path);
    CHECK(read_text(path) == special + "a\n");
    CHECK_THROWS_AS(Vocabulary::load(folder / "none"), Error);
}

TEST_CASE("Hugging Face's fast tokenizer, line by line") {
    const char* golden = std::getenv("DROPFORGE_TOKENIZER_GOLDEN");
    const char* folder = std::getenv("DROPFORGE_TOKENIZER_VOCAB");
    if (golden == nullptr || folder == nullptr) {
        MESSAGE(
            "SKIPPED: set DROPFORGE_TOKENIZER_GOLDEN (folder of {un,}cased.jsonl: text, ids) and "
            "DROPFORGE_TOKENIZER_VOCAB "
            "(folder of bert-base-{un,}cased-vocab.txt) to run it");
        return;
    }
    for (const std::string mode : {"uncased", "cased"}) {
        const Vocabulary bert = Vocabulary::load(fs::path(folder) / ("bert-base-" + mode + "-vocab.txt"));
        WordPiece tokenizer(bert, mode == "cased" ? kCased : kUncased);
        int lines = 0;
        for (const nlohmann::json& line : read_lines(fs::path(golden) / (mode + ".jsonl"))) {
            CAPTURE(mode);
            CAPTURE(lines);
            CHECK(encode(tokenizer, line.at("text").get<std::string>()) == line.at("ids").get<Ids>());
            ++lines;
        }
        MESSAGE(mode << ": " << lines << " lines");
        CHECK(lines > 0);
    }
}
