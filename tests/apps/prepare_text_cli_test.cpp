// `dropforge prepare` on other people's text: what it says of files that it does not read, and JSON Lines.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/shards/dataset.h"
#include "tests/support/command.h"
#include "tests/support/compression.h"
#include "tests/support/corpus_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

struct Texts : Corpus {
    Texts() : Corpus(1) { fs::remove_all(folder / "text"); }

    void write(const std::string& name, const std::string& bytes) const {
        fs::create_directories((folder / "text" / name).parent_path());
        write_text(folder / "text" / name, bytes);
    }
    CommandResult run(std::vector<std::string> more = {}) const {
        std::vector<std::string> all = command();
        more.insert(more.end(), {"--validation-fraction", "0"});
        all.insert(all.end(), more.begin(), more.end());
        all.erase(std::ranges::find(all, "--quiet"));
        return run_command(all);
    }
    std::vector<std::string> tokens() const {
        const Dataset dataset(folder / "data", Split::train);
        const Vocabulary vocabulary = Vocabulary::load(folder / "vocab.txt");
        std::vector<int32_t> ids(dataset.stream_length());
        dataset.read(0, ids, {});
        std::vector<std::string> tokens;
        for (const int32_t id : ids) tokens.push_back(id == Dataset::kSeparator ? "/" : vocabulary.token(id));
        return tokens;
    }
};

using Tokens = std::vector<std::string>;

}  // namespace

TEST_CASE("what is not read stands in the output and in dataset.json, and is read when asked for") {
    const Texts texts;
    texts.write("a.TXT", "the river");
    texts.write("AA/wiki_00", "the hill");
    texts.write("b.pdf", "%PDF the stone");
    texts.write(".c.txt", "the night");
    CommandResult result = texts.run();
    REQUIRE(result.exit_code == 0);
    CHECK(contains(result.out, "input        1 files"));
    CHECK(contains(result.out,
                   "left out     2 of an ending that is not text's (--any-ending reads them as plain text): "));
    CHECK(contains(result.out, "left out     1 hidden (the name begins with a dot): "));
    CHECK(texts.tokens() == Tokens{"the", "river", "/"});
    const auto json = nlohmann::json::parse(read_text(texts.folder / "data/dataset.json"));
    const nlohmann::json& left_out = json.at("input").at("left_out");
    CHECK(left_out.at("unknown_ending").at("count") == 2);
    CHECK(left_out.at("hidden").at("examples")[0] == (texts.folder / "text/.c.txt").string());
    CHECK(left_out.size() == 2);
    CHECK(contains(texts.run().out, "left out     2 of an ending"));  // again, when there is nothing to do

    result = texts.run({"--any-ending", "--overwrite"});
    CHECK(contains(result.out, "input        3 files"));
    CHECK(contains(result.out, "left out     1 hidden"));
    CHECK(texts.tokens().size() > 10);
}

TEST_CASE("a data folder that was made before anything was counted is read") {
    const Texts texts;
    texts.write("a.txt", "the river");
    texts.write("b.pdf", "the hill");
    REQUIRE(texts.run().exit_code == 0);
    auto json = nlohmann::json::parse(read_text(texts.folder / "data/dataset.json"));
    json["input"].erase("left_out");
    json.erase("checksum_of_all");
    write_text(texts.folder / "data/dataset.json", json.dump());
    CHECK(Receipt::load(texts.folder / "data").left_out.total() == 0);
    CHECK(contains(texts.run().out, "nothing to do"));
}

TEST_CASE("JSON Lines: a document an object, by the key that is given; other keys are other data") {
    const Texts texts;
    texts.write("a.jsonl.gz",
                gzip("{\"text\": \"the\\n\\nriver\", \"body\": \"night\"}\n{\"text\": \"a hill\", \"body\": null}\n"));
    texts.write("b.ndjson", "{\"text\": \"stone\", \"body\": \"light\"}");
    REQUIRE(texts.run().exit_code == 0);
    CHECK(texts.tokens() == Tokens{"the", "river", "/", "a", "hill", "/", "stone", "/"});
    CommandResult result = texts.run({"--json-key", "body"});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "holds other data (json_key is none in the folder, body now)"));
    result = texts.run({"--json-key", "body", "--overwrite"});
    CHECK(texts.tokens() == Tokens{"night", "/", "light", "/"});
    CHECK(contains(result.out,
                   "left out     1 lines of JSON without text: " + (texts.folder / "text/a.jsonl.gz:2").string()));
    CHECK(contains(texts.run().error, "holds other data (json_key is body in the folder, none now)"));

    texts.write("b.ndjson", "{\"text\": \"stone\"}\n\n{\"text\": \"light\"");
    result = texts.run({"--overwrite"});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "b.ndjson: line 3: not JSON: byte "));
    CHECK(texts.tokens() == Tokens{"night", "/", "light", "/"});  // the old data
}

TEST_CASE("what a user should know of a compressed file is a note") {
    const Texts texts;
    texts.write("a.txt.gz", gzip("the river") + "a tail");
    texts.write("b.txt.zst", zstd("the hill", 31));
    const CommandResult result = texts.run();
    CHECK(result.exit_code == 0);
    CHECK(contains(result.error, "note: " + (texts.folder / "text/a.txt.gz").string() +
                                     ": 6 bytes that follow the gzip data are ignored\n"));
    CHECK(contains(result.error, "text/b.txt.zst: unpacking it takes 214"));
    CHECK(texts.tokens() == Tokens{"the", "river", "/", "the", "hill", "/"});
}
