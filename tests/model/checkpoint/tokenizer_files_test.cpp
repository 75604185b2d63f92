// The tokenizer files of model folders: what they say is taken or refused by name, and data is compared with it.
#include "model/checkpoint/tokenizer_files.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using dropforge::test::message_of;
using Json = nlohmann::json;

namespace {

const std::vector<std::string> kTokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a",
                                          "##b",   "é",     "e",     "A",     "[",      "]"};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

Json tokenizer_json() {
    Json vocabulary;
    for (size_t id = 0; id < kTokens.size(); ++id) vocabulary[kTokens[id]] = id;
    return {{"version", "1.0"},
            {"added_tokens", Json::array()},
            {"normalizer",
             {{"type", "BertNormalizer"},
              {"clean_text", true},
              {"handle_chinese_chars", true},
              {"strip_accents", nullptr},
              {"lowercase", true}}},
            {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
            {"post_processor", {{"type", "BertProcessing"}, {"sep", {"[SEP]", 3}}, {"cls", {"[CLS]", 2}}}},
            {"model", {{"type", "WordPiece"}, {"unk_token", "[UNK]"}, {"vocab", vocabulary}}}};
}

/// A folder with some of the files.
struct Files {
    TemporaryFolder folder;

    void write(const std::string& name, const Json& json) const { write_text(folder / name, json.dump()); }
    void write_vocabulary(const std::vector<std::string>& tokens = kTokens) const {
        data::Vocabulary(tokens).save(folder / "vocab.txt");
    }
    ModelTokenizer load() const { return load_tokenizer(folder.path()); }
    std::string error() const {
        return message_of([&] { load(); });
    }
};

}  // namespace

TEST_CASE("tokenizer files: written and read, for every setting of the switches") {
    const Files files;
    write_text(files.folder / "some.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n");
    for (const bool lower : {true, false})
        for (const bool strip : {true, false})
            for (const bool split : {true, false}) {
                const data::Normalization normalization{lower, strip, split};
                CAPTURE(normalization.text());
                save_tokenizer(files.folder.path(), data::Vocabulary::load(files.folder / "some.txt"), normalization,
                               512);
                CHECK(files.load().normalization == normalization);
                CHECK(files.load().notes.empty());
                CHECK(read_text(files.folder / "vocab.txt") == read_text(files.folder / "some.txt"));
            }
}

TEST_CASE("the vocabulary: of either file, or of both if they agree") {
    const Files files;
    CHECK(contains(files.error(), "neither vocab.txt nor tokenizer.json"));
    files.write_vocabulary();
    CHECK(files.load().vocabulary.size() == 12);
    CHECK(contains(files.load().notes.at(0), "tokenizer_config.json: taken for uncased, as transformers does"));
    files.write("tokenizer.json", tokenizer_json());
    CHECK(files.load().notes.empty());
    auto other = kTokens;
    std::swap(other[5], other[6]);
    files.write_vocabulary(other);
    CHECK(contains(files.error(), "token 5 is \"a\", in"));
    fs::remove(files.folder / "vocab.txt");
    CHECK(files.load().vocabulary.token(6) == "##b");
    Json json = tokenizer_json();
    for (const Json& wrong : {Json(4), Json(99), Json(-1)}) {
        json["model"]["vocab"]["a"] = wrong;
        files.write("tokenizer.json", json);
        CHECK(contains(files.error(), "model: vocab: the id " + wrong.dump()));
    }
    json["model"]["vocab"]["a"] = "5";
    files.write("tokenizer.json", json);
    CHECK(contains(files.error(), "model: vocab: a must be an integer, not \"5\""));
}

TEST_CASE("where tokenizer.json and tokenizer_config.json differ, the one that transformers follows counts") {
    const Files files;
    Json json = tokenizer_json();
    json["normalizer"]["lowercase"] = false;
    files.write("tokenizer.json", json);
    CHECK(contains(files.error(), "lowercase is false, and tokenizer_config.json has no do_lower_case"));
    files.write("tokenizer_config.json", {{"tokenizer_class", "BertTokenizer"}});
    CHECK(contains(files.error(), "lowercase is false, and tokenizer_config.json has no do_lower_case"));
    files.write("tokenizer_config.json", {{"do_lower_case", true}});
    CHECK(files.load().normalization == data::kUncased);
    REQUIRE(files.load().notes.size() == 1);
    CHECK(contains(files.load().notes[0], "do_lower_case of tokenizer_config.json is true: true is taken"));
    files.write("tokenizer_config.json", {{"do_lower_case", false}});
    CHECK(files.load().normalization == data::kCased);
    CHECK(files.load().notes.empty());
    files.write("tokenizer_config.json", {{"tokenizer_class", "PreTrainedTokenizerFast"}});
    CHECK(files.load().normalization == data::kCased);
    CHECK(files.load().notes.empty());
    files.write("tokenizer_config.json", {{"tokenizer_class", "TokenizersBackend"}, {"do_lower_case", true}});
    CHECK(files.load().normalization == data::kCased);
    CHECK(contains(files.load().notes[0], "do_lower_case of tokenizer_config.json is true: false is taken"));
    json["post_processor"] = nullptr;
    files.write("tokenizer.json", json);
    CHECK(contains(files.error(), "no post_processor"));
    json["normalizer"]["strip_accents"] = true;
    files.write("tokenizer.json", json);
    files.write("tokenizer_config.json", {{"do_lower_case", false}});
    CHECK(contains(files.error(), "strip_accents is true, and tokenizer_config.json has no strip_accents"));
    files.write("tokenizer_config.json", {{"do_lower_case", false}, {"strip_accents", true}});
    CHECK(files.load().normalization == data::Normalization{.lower_case = false});
}

TEST_CASE("added tokens: ids, and what is found in a text") {
    const Files files;
    files.write_vocabulary();
    const auto split = [&](const std::string& text) {
        const ModelTokenizer tokenizer = files.load();
        std::string result;
        data::AddedTokens(tokenizer.added, tokenizer.normalization)
            .split(
                text,
                [&](std::string_view part) {
                    if (!part.empty()) result += fmt::format("({})", part);
                },
                [&](int32_t id) { result += std::to_string(id); });
        return result;
    };
    CHECK(split("x[MASK]y [SEP][CLS] [mask] [MAS") == "(x)4(y )32( [mask] [MAS)");
    CHECK(files.load().size() == 12);
    files.write("added_tokens.json", {{"Zz9", 12}});  // looked for in the normalised text
    CHECK(split("aZZ9[PAD]Zz9") == "(a)12012");
    CHECK(files.load().size() == 13);
    CHECK(files.load().token(12) == "Zz9");
    files.write(
        "tokenizer_config.json",
        {{"added_tokens_decoder",
          {{"12", {{"content", "Zz9"}, {"normalized", false}}}, {"13", {{"content", "Zz"}, {"special", true}}}}}});
    CHECK(split("aZZ9 Zz9Zz8") == "(aZZ9 )1213(8)");  // the longest
    files.write("tokenizer_config.json", {{"additional_special_tokens", {"Zz9", {{"content", "e"}}}}});
    CHECK(split("e Zz9 ZZ9") == "8( )12( ZZ9)");
    files.write("tokenizer_config.json", {{"extra_special_tokens", {{"boe", "none"}}}});
    CHECK(contains(files.error(), "the special token \"none\" has no id in any file"));
    files.write("tokenizer_config.json", Json::object());
    for (const auto& [id, part] : {std::pair{14, "has the id 14, the next one is 12"}, {5, "has the id 5, the next"}}) {
        files.write("added_tokens.json", {{"Zz9", id}});
        CHECK(contains(files.error(), part));
    }
    files.write("added_tokens.json", {{"a", 7}});
    CHECK(contains(files.error(), "the added token \"a\" has the id 7, in the vocabulary it has 5"));
    files.write("added_tokens.json", {{"", 12}});
    CHECK(contains(files.error(), "an added token is empty"));
}

TEST_CASE("data of another tokenizer is refused") {
    const Files files;
    files.write_vocabulary();
    files.write("tokenizer_config.json", {{"do_lower_case", false}, {"strip_accents", true}});
    const auto compared = [&](const std::vector<std::string>& tokens, const data::Normalization& normalization) {
        return require_same_tokenizer(files.folder.path(), "DATA", data::Vocabulary(tokens), normalization);
    };
    const data::Normalization same{.lower_case = false};
    CHECK(compared(kTokens, same).empty());
    CHECK(message_of([&] { compared(kTokens, data::kUncased); }) ==
          "DATA: uncased, the model is cased, accents stripped");
    CHECK(message_of([&] {
              compared(kTokens, {false, true, false});
          }) == "DATA: cased, accents stripped, ideographs not split, the model is cased, accents stripped");
    auto other = kTokens;
    other[7] = "ö";
    CHECK(contains(message_of([&] { compared(other, same); }), "token 7 is \"é\", in DATA it is \"ö\""));
    other.pop_back();
    CHECK(contains(message_of([&] { compared(other, same); }), "12 tokens, DATA has 11"));
    files.write("added_tokens.json", {{"Zz9", 12}});
    REQUIRE(compared(kTokens, same).size() == 1);
    CHECK(contains(compared(kTokens, same)[0], "which the data does not have: Zz9"));
    fs::remove(files.folder / "tokenizer_config.json");
    CHECK(contains(message_of([&] { compared(kTokens, data::kCased); }), "taken for uncased"));
    CHECK(contains(compared(kTokens, data::kUncased)[0], "taken for uncased"));
    fs::remove(files.folder / "vocab.txt");
    CHECK(contains(message_of([&] { compared(kTokens, same); }), "neither vocab.txt nor tokenizer.json"));
}
