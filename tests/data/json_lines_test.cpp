// JSON Lines: which string of a line is a document, and which lines are refused.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "data/text/text_reader.h"
#include "tests/support/compression.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

struct Read {
    std::vector<std::string> documents;
    LeftOut left_out;
    size_t longest_piece = 0;
};

Read read(const std::string& text, ReadOptions options = {}, size_t piece_bytes = 1 << 20) {
    TemporaryFolder folder;
    write_text(folder / "a.jsonl.gz", gzip(text));
    const std::vector<fs::path> paths = {folder / "a.jsonl.gz"};
    TextReader reader(list_text_files(paths).files, options, piece_bytes);
    Read result;
    std::vector<DocumentPart> parts;
    std::string document;
    for (TextPiece piece; reader.next(piece);) {
        result.longest_piece = std::max(result.longest_piece, piece.text.size());
        make_text(piece);
        result.left_out.add(piece.left_out);
        split_documents(piece, parts);
        for (const DocumentPart& part : parts) {
            document += part.text;
            if (!part.ends) continue;
            if (document.ends_with('\n')) document.pop_back();
            result.documents.push_back(std::exchange(document, ""));
        }
    }
    REQUIRE(!result.documents.empty());
    CHECK(result.documents.back() == "");  // nothing follows the last line
    result.documents.pop_back();
    return result;
}

std::vector<std::string> documents_of(const std::string& text, const std::string& key = "text") {
    return read(text, {.json_key = key}).documents;
}

std::string refusal(const std::string& text, const std::string& key = "text") {
    return error_of([&] { documents_of(text, key); });
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("each object's string is a document, blank lines in it or not, whatever else the object holds") {
    CHECK(documents_of(R"({"text": "one\n\ntwo\r\n \nthree", "id": 1}
{"id": [{"text": "no"}, 1e99, -0.5, null, true], "meta": {"text": "no", "a": {}}, "text": "four"}

  {"text":""}
{"text": "first", "text": "the last counts", "score": NaN})") ==
          Texts{"one\n\ntwo\r\n \nthree", "four", "", "the last counts"});
    CHECK(documents_of("\xEF\xBB\xBF{\"text\": \"a\"}\r\n{\"text\": \"b\"}\r\n") == Texts{"a", "b"});
    CHECK(documents_of(R"({"text": "no", "content": "yes"})", "content") == Texts{"yes"});
    CHECK(documents_of(R"({"te\u0078t": "the key is escaped"})") == Texts{"the key is escaped"});
    ReadOptions by_file{.breaks = DocumentBreak::file};
    CHECK(read("{\"text\": \"a\\n\\nb\"}\n{\"text\": \"c\"}", by_file).documents == Texts{"a\n\nb", "c"});
}

TEST_CASE("escapes, surrogates and broken bytes") {
    const std::string bad = "\xEF\xBF\xBD";
    CHECK(documents_of(R"({"text": "\"\\\/\b\f\n\r\t\u00e9\u4E2D\uD83D\ude00"})") ==
          Texts{"\"\\/\b\f\n\r\t\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80"});
    CHECK(documents_of(R"({"text": "a\uD83Db \uDE00 \ud83d\ud83d\ude00 \ud83d\n \\ud83d \ud83d"})") ==
          Texts{"a" + bad + "b " + bad + " " + bad + "\xF0\x9F\x98\x80 " + bad + "\n \\ud83d " + bad});
    CHECK(documents_of("{\"text\": \"a\xFF"
                       "b\"}\n{\"text\": \"c\xE4\xB8\"}\n{\"text\": \"d\"}") ==
          Texts{"a" + bad + "b", "c" + bad, "d"});  // and the documents end where they did
    CHECK(documents_of(R"({"text": "a\u0000b\u0000"})"
                       "\n"
                       R"({"text": "c"})") == Texts{"ab", "c"});
}

TEST_CASE("lines without the key, or with null, are left out and counted; all else that is no text is refused") {
    const Read found = read("{\"text\": null}\n{\"text\": \"a\"}\n{\"txt\": \"b\"}\n{}\n{\"text\": \"c\"}\n");
    CHECK(found.documents == Texts{"a", "c"});
    CHECK(found.left_out.count(Reason::no_text_in_line) == 3);
    CHECK(found.left_out.examples(Reason::no_text_in_line)[1].ends_with("a.jsonl.gz:3"));
    CHECK(contains(refusal("{\"title\": 1, \"content\": \"a\"}"),
                   "a.jsonl.gz: line 1: no key 'text', but title, content (--json-key)"));
    CHECK(contains(refusal("{\"text\": \"a\"}\n{\"text\": 5}"),
                   "a.jsonl.gz: line 2: the value of 'text' is not a string"));
    CHECK(contains(refusal("{\"text\": [\"a\"]}"), "not a string"));
    CHECK(contains(refusal("{\"text\": {\"text\": \"a\"}}"), "not a string"));
    CHECK(contains(refusal("{\"text\": \"a\"}\n\n[\"text\"]"), "line 3: expected a JSON object"));
    CHECK(contains(refusal("\"text\""), "expected a JSON object"));
    for (const std::string damaged : {"{\"text\": \"a", "{\"text\": \"a\"", "{\"text\": \"a\"}}", "{\"text\": \"a\"}{}",
                                      "{text: 1}", "{\"text\": \"\\x\"}", "{\"text\": \"\\ud8\"}", "text"})
        CHECK(contains(refusal("{\"text\": \"a\"}\n" + damaged), "line 2: not JSON: byte "));
    CHECK(contains(refusal(std::string("{\"text\": \"a\0b\"}", 15)), "line 1: not JSON: it has a byte that is 0"));
    CHECK(contains(refusal("{\"a\": " + std::string(2000, '[')), "line 1: nested too deeply"));
}

TEST_CASE("pieces of any size give the same documents, and none is much larger than asked for") {
    PhiloxStream random(8, 2);
    std::string text;
    Texts expected;
    for (int i = 0; i < 400; ++i) {
        std::string document;
        const uint32_t words = random.below(i % 50 == 0 ? 3000 : 60);
        const std::string_view choices[] = {"word", " ", "\n\n", "\xC3\xA9", "\xE4\xB8\xAD", "\n", ".", "  "};
        for (uint32_t w = 0; w < words; ++w) document += choices[random.below(std::size(choices))];
        expected.push_back(document);
        text += nlohmann::json({{"id", i}, {"text", document}}).dump(-1, ' ', i % 2 == 0) + "\n";
    }
    for (const size_t piece_bytes : {64, 1000, 1 << 20}) {
        const Read found = read(text, {}, piece_bytes);
        CHECK(found.documents == expected);
        CHECK(found.longest_piece <= 2 * piece_bytes);
    }
}

TEST_CASE("a line longer than 64 MiB is refused, one of nearly that is read") {
    const std::string spaces(JsonLines::kLongestLine, ' ');
    CHECK(contains(refusal("{\"text\": \"a\"}\n{" + spaces + "\"text\": \"b\"}"),
                   "a.jsonl.gz: line 2: longer than 67108864 bytes"));
    CHECK(documents_of("{" + spaces.substr(20) + "\"text\": \"b\"}") == Texts{"b"});
}
