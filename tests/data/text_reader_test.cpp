// Text files to documents: kinds of files, compression, pieces, UTF-8, markup.
#include "data/text/text_reader.h"

#include <doctest/doctest.h>

#include "data/tokenizer/wordpiece.h"
#include "tests/support/compression.h"
#include "tests/support/data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

/// All documents of the files, put together from their parts; those without text left out.
std::vector<std::string> documents_of(const std::vector<fs::path>& paths, size_t piece_bytes = 1 << 20,
                                      DocumentBreak breaks = DocumentBreak::blank_line) {
    TextReader reader(list_text_files(paths).files, {.breaks = breaks}, piece_bytes);
    TextPiece piece;
    std::vector<DocumentPart> parts;
    std::vector<std::string> documents(1);
    while (reader.next(piece)) {
        CHECK(piece.text.size() <= piece_bytes + (1 << 17));
        make_text(piece);
        split_documents(piece, parts);
        for (const DocumentPart& part : parts) {
            documents.back() += part.text;
            if (part.ends) documents.emplace_back();
        }
    }
    REQUIRE(documents.back().empty());
    std::erase_if(documents,
                  [](const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; });
    return documents;
}

std::string repaired(std::string text, uint64_t expected_bytes) {
    CHECK(replace_invalid_utf8(text) == expected_bytes);
    return text;
}

}  // namespace

TEST_CASE("documents end at blank lines or at the file's end") {
    TemporaryFolder folder;
    write_text(folder / "a.txt", "\xEF\xBB\xBFone\ntwo\n\nthree\r\n \t\r\nfour\n\n\n\n\nfive");
    write_text(folder / "b.txt", "six\n");
    const std::vector<fs::path> paths = {folder.path()};
    CHECK(documents_of(paths) == std::vector<std::string>{"one\ntwo", "three", "four", "five", "six\n"});
    CHECK(documents_of(paths, 1 << 20, DocumentBreak::file).size() == 2);
}

TEST_CASE("a line is blank if it has nothing but white space, as Python's str.strip() knows it") {
    TemporaryFolder folder;
    std::string text, other;
    for (const char* space : {"\xC2\xA0", "\xC2\x85", "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x83", "\xE2\x80\x8A",
                              "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80", "\x1C",
                              "\x1D", "\x1E", "\x1F", "\v", "\f", "\t"}) {
        text += std::string("one\n ") + space + space + "\ntwo" + space + "\n" + space + "three\n\n";
    }
    for (const char* no_space :
         {"\xE2\x80\x8B", "\xEF\xBB\xBF", "\xC2\xAD", "\x1B", "\xE2\x80", "\xE3\x80", "\xC2", "\xA0"})
        other += std::string("one\n ") + no_space + "\ntwo\n\n";
    write_text(folder / "a.txt", text);
    write_text(folder / "b.txt", other);
    for (const size_t piece_bytes : {3, 5, 64, 1 << 20}) {
        const std::vector<std::string> documents = documents_of({folder / "a.txt"}, piece_bytes);
        REQUIRE(documents.size() == 36);
        for (size_t i = 0; i < 36; i += 2) {
            CHECK(documents[i] == "one");
            CHECK(documents[i + 1].ends_with("\nthree"));
        }
        CHECK(documents_of({folder / "b.txt"}, piece_bytes).size() == 8);
    }
}

TEST_CASE("lines end in LF, CR LF or CR, as in Python's text mode, wherever a piece is cut") {
    TemporaryFolder folder;
    const std::vector<std::string> expected = {"one\ntwo", "three", "four", "five\nsix"};
    for (const std::string end : {"\n", "\r\n", "\r"}) {
        std::string text;
        for (const char* line : {"one", "two", "", "three", " \t", "", "four", "", "five", "six", ""})
            text += line + end;
        write_text(folder / "a.txt", end + text);
        for (const size_t piece_bytes : {3, 4, 5, 64, 1 << 20}) {
            CHECK(documents_of({folder / "a.txt"}, piece_bytes) == expected);
        }
    }
    write_text(folder / "a.txt", "a\n\rb\r\r\nc");
    CHECK(documents_of({folder / "a.txt"}) == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("pieces of any size give the same documents") {
    TemporaryFolder folder;
    PhiloxStream random(3, 3);
    std::string text;
    while (text.size() < 20000) {
        const std::string_view choices[] = {
            "word", "a", " ", "  ", "\n", "\n\n", "\n \n", "\t", "\xC3\xA9t\xC3\xA9", "\xE4\xB8\xAD", ".", "\r\n"};
        text += choices[random.below(std::size(choices))];
    }
    write_text(folder / "a.txt", text);
    const Vocabulary vocabulary({"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "word", "a", "ete", ".", "##a", "##word",
                                 "##ete", "\xE4\xB8\xAD"});
    WordPiece tokenizer(vocabulary, kUncased);
    const auto tokens = [&](size_t piece_bytes) {
        std::vector<std::vector<int32_t>> all;
        for (const std::string& document : documents_of({folder / "a.txt"}, piece_bytes)) {
            std::vector<int32_t> ids;
            tokenizer.encode(document, ids);
            if (!ids.empty()) all.push_back(ids);
        }
        return all;
    };
    const auto expected = tokens(1 << 20);
    CHECK(expected.size() > 100);
    for (const size_t piece_bytes : {64, 100, 1000, 4096}) CHECK(tokens(piece_bytes) == expected);
}

TEST_CASE("no white space at all, and nothing but white space, are cut too") {
    TemporaryFolder folder;
    std::string ideographs;
    for (int i = 0; i < 5000; ++i) ideographs += "\xE4\xB8\xAD";
    write_text(folder / "a.txt", std::string(100000, 'x'));
    write_text(folder / "b.txt", ideographs);
    const std::string spaces(50000, ' ');
    write_text(folder / "c.txt", fmt::format("a{0}\n{0}\n{0}b", spaces));
    TextReader reader(list_text_files(std::vector<fs::path>{folder.path()}).files, {}, 1000);
    TextPiece piece;
    std::string all;
    size_t files = 0;
    while (reader.next(piece)) {
        CHECK(piece.text.size() <= 2000);
        CHECK(replace_invalid_utf8(piece.text) == 0);  // no character was cut
        if (files < 2) all += piece.text;
        files += piece.ends_file;
    }
    CHECK(files == 3);
    CHECK(all == std::string(100000, 'x') + ideographs);
    const std::vector<std::string> documents = documents_of({folder / "c.txt"}, 1000);
    REQUIRE(documents.size() == 2);  // the blank line was seen, far as its ends are from each other
    CHECK(documents[0].starts_with("a"));
    CHECK(documents[1].ends_with("b"));
}

TEST_CASE("what is not UTF-8 becomes U+FFFD, one for each maximal part") {
    const std::string bad = "\xEF\xBF\xBD";
    const std::string valid =
        "plain ascii text \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80 \xEF\xBF\xBD \xF4\x8F\xBF\xBF \xED\x9F\xBF";
    CHECK(repaired(valid, 0) == valid);
    CHECK(repaired("a\xFF"
                   "b",
                   1) == "a" + bad + "b");
    CHECK(repaired("\x80\x80", 2) == bad + bad);
    CHECK(repaired("\xC3", 1) == bad);
    CHECK(repaired("\xE2\x82", 2) == bad);  // the start of a character: one part
    CHECK(repaired("\xE2\x82z", 2) == bad + "z");
    CHECK(repaired("\xC0\xAF", 2) == bad + bad);                      // overlong
    CHECK(repaired("\xE0\x80\x80", 3) == bad + bad + bad);            // overlong
    CHECK(repaired("\xED\xA0\x80", 3) == bad + bad + bad);            // surrogate
    CHECK(repaired("\xF4\x90\x80\x80", 4) == bad + bad + bad + bad);  // above U+10FFFF
    CHECK(repaired("\xF0\x9F\x98", 3) == bad);
    CHECK(repaired("12345678\xFF"
                   "12345678\xFE",
                   2) == "12345678" + bad + "12345678" + bad);
}

TEST_CASE("Markdown and HTML files are one document each, blank lines or not") {
    TemporaryFolder folder;
    write_text(folder / "a.md", "# One\n\ntext\n\nmore");
    write_text(folder / "b.html.gz", gzip("<p>One</p>\n\n<p>two</p>"));
    const std::vector<std::string> documents = documents_of({folder.path()});
    CHECK(documents == std::vector<std::string>{"One\n\ntext\n\nmore", "One\n\ntwo"});
}

TEST_CASE("a page is given out in pieces, and its invalid bytes are counted once") {
    TemporaryFolder folder;
    std::string page, text;
    for (int i = 0; i < 30000; ++i) {
        page += fmt::format("<p>paragraph <b>{}</b>\n", i);
        text += fmt::format("{}paragraph {}", i == 0 ? "" : "\n\n", i);
    }
    write_text(folder / "a.html", page + "\xFF");
    const std::vector<fs::path> paths = {folder / "a.html"};
    TextReader reader(list_text_files(paths).files, {}, 1000);
    std::string all;
    uint64_t pieces = 0, bytes = 0, invalid = 0;
    for (TextPiece piece; reader.next(piece); ++pieces) {
        CHECK(piece.text.size() <= 2000);
        make_text(piece);
        all += piece.text;
        bytes += piece.bytes;
        invalid += piece.invalid_bytes;
    }
    CHECK(all == text + " \xEF\xBF\xBD");
    CHECK(pieces > 200);
    CHECK(bytes == page.size() + 1);
    CHECK(invalid == 1);
}

TEST_CASE("a page that is too much for the parser is refused where it is named, else left out") {
    TemporaryFolder folder;
    write_text(folder / "long.md", std::string(kLongestMarkup + 1, 'x'));
    std::string table(4001, '|');
    table += "\n|";
    for (int i = 0; i < 4000; ++i) table += "-|";
    for (int i = 0; i < 8000; ++i) table += "\n|x|";
    write_text(folder / "table.md", table);
    const auto refusal = [&](const char* name) { return error_of([&] { documents_of({folder / name}); }); };
    CHECK(contains(refusal("long.md"), "long.md: it is longer than 32 MB"));
    CHECK(contains(refusal("table.md"), "table.md: parsing it takes more than"));
    write_text(folder / "a.txt", "a river");
    const std::vector<fs::path> all = {folder.path()};
    TextReader reader(list_text_files(all).files, {});
    TextPiece piece;
    std::string text;
    LeftOut left_out;
    while (reader.next(piece)) {
        make_text(piece);
        text += piece.text;
        left_out.add(piece.left_out);
    }
    CHECK(text == "a river");
    CHECK(left_out.count(Reason::too_complex) == 2);
    CHECK(left_out.examples(Reason::too_complex)[0].ends_with("long.md (it is longer than 32 MB)"));
}
