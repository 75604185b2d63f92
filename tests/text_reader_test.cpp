// Text files to documents: kinds of files, compression, pieces, UTF-8, markup.
#include "data/text_reader.h"

#include <doctest/doctest.h>
#include <zlib.h>
#include <zstd.h>

#include "data/wordpiece.h"
#include "data_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

/// All documents of the files, put together from their parts; those without text left out.
std::vector<std::string> documents_of(const std::vector<fs::path>& paths, size_t piece_bytes = 1 << 20,
                                      DocumentBreak breaks = DocumentBreak::blank_line) {
    TextReader reader(list_text_files(paths), breaks, piece_bytes);
    TextPiece piece;
    std::vector<DocumentPart> parts;
    std::vector<std::string> documents(1);
    while (reader.next(piece)) {
        CHECK(piece.text.size() <= piece_bytes + (1 << 17));
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

std::string gzip(const std::string& text) {
    z_stream stream{};
    REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string zstd(const std::string& text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

std::string repaired(std::string text, uint64_t expected_bytes) {
    CHECK(replace_invalid_utf8(text) == expected_bytes);
    return text;
}

}  // namespace

TEST_CASE(
    "folders give their files sorted by path, hidden and unknown ones left out; files keep the order they are given "
    "in") {
    TemporaryFolder folder;
    fs::create_directories(folder / "b/.git");
    for (const char* name : {"z.txt", "a.md", "b/c.html", "b/a.htm.gz", "b/x.pdf", "b/.git/t.txt", ".hidden.txt",
                             "b.txt.zst", "c.gz", "d.tar.gz"}) {
        write_text(folder / name, "x");
    }
    const auto names = [&](const std::vector<fs::path>& paths) {
        std::vector<std::string> found;
        for (const TextFile& file : list_text_files(paths))
            found.push_back(fs::relative(file.path, folder.path()).string());
        return found;
    };
    CHECK(names({folder.path()}) ==
          std::vector<std::string>{"a.md", "b.txt.zst", "b/a.htm.gz", "b/c.html", "c.gz", "z.txt"});
    CHECK(names({folder / "z.txt", folder / "b", folder / "z.txt"}) ==
          std::vector<std::string>{"z.txt", "b/a.htm.gz", "b/c.html", "z.txt"});
    const auto refusal = [&](const fs::path& path) {
        return error_of([&] { list_text_files(std::vector<fs::path>{path}); });
    };
    CHECK(contains(refusal(folder / "b/x.pdf"), "not a kind of text"));
    CHECK(contains(refusal(folder / "none.txt"), "No such file"));
    fs::create_directories(folder / "empty");
    CHECK(contains(refusal(folder / "empty"), "no text files"));
}

TEST_CASE("documents end at blank lines or at the file's end") {
    TemporaryFolder folder;
    write_text(folder / "a.txt", "\xEF\xBB\xBFone\ntwo\n\nthree\r\n \t\r\nfour\n\n\n\n\nfive");
    write_text(folder / "b.txt", "six\n");
    const std::vector<fs::path> paths = {folder.path()};
    CHECK(documents_of(paths) == std::vector<std::string>{"one\ntwo", "three\r", "four", "\nfive", "six\n"});
    CHECK(documents_of(paths, 1 << 20, DocumentBreak::file).size() == 2);
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
    WordPiece tokenizer(vocabulary, false);
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
    write_text(folder / "c.txt",
               "a" + std::string(50000, ' ') + "\n" + std::string(50000, ' ') + "\n" + std::string(50000, ' ') + "b");
    TextReader reader(list_text_files(std::vector<fs::path>{folder.path()}), DocumentBreak::blank_line, 1000);
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

TEST_CASE("gzip and zstd, in several members too; damaged and truncated ones are refused by name") {
    TemporaryFolder folder;
    std::string text, more;
    for (int i = 0; i < 100000; ++i) text += fmt::format("{} ", i * 7919 % 100003);
    for (int i = 0; i < 1000; ++i) more += fmt::format("more{} ", i);
    const auto read_back = [&](const char* name, const std::string& bytes) {
        write_text(folder / name, bytes);
        const std::vector<std::string> documents = documents_of({folder / name}, 1 << 16);
        return documents.size() == 1 ? documents.front() : std::string();
    };
    CHECK(read_back("a.txt.gz", gzip(text)) == text);
    CHECK(read_back("a.txt.gz", gzip(text) + gzip(more)) == text + more);
    CHECK(read_back("a.txt.zst", zstd(text)) == text);
    CHECK(read_back("a.txt.zst", zstd(text) + zstd(more)) == text + more);
    for (const bool gz : {true, false}) {
        const char* name = gz ? "b.txt.gz" : "b.txt.zst";
        const std::string bytes = gz ? gzip(text) : zstd(text);
        const auto refusal = [&](const std::string& damaged) { return error_of([&] { read_back(name, damaged); }); };
        for (const size_t size : {size_t{0}, size_t{3}, bytes.size() / 2, bytes.size() - 1}) {
            CHECK(contains(refusal(bytes.substr(0, size)), "truncated"));
            CHECK(contains(refusal(bytes.substr(0, size)), name));
        }
        std::string flipped = bytes;
        for (size_t i = 0; i < 8; ++i)
            flipped[bytes.size() / 2 + i] = static_cast<char>(~flipped[bytes.size() / 2 + i]);
        CHECK(contains(refusal(gz ? flipped : "not zstd at all"), "damaged"));
        CHECK(contains(refusal(bytes + "tail"), "damaged"));
    }
}

TEST_CASE("UTF-16 is refused in words") {
    TemporaryFolder folder;
    write_text(folder / "a.txt", std::string("\xFF\xFEh\0i\0", 6));
    CHECK(contains(error_of([&] { documents_of({folder / "a.txt"}); }), "UTF-16"));
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
    TextReader reader(list_text_files(std::vector<fs::path>{folder / "a.html"}), DocumentBreak::blank_line, 1000);
    std::string all;
    uint64_t pieces = 0, bytes = 0, invalid = 0;
    for (TextPiece piece; reader.next(piece); ++pieces) {
        CHECK(piece.text.size() <= 2000);
        CHECK(replace_invalid_utf8(piece.text) == 0);
        all += piece.text;
        bytes += piece.bytes;
        invalid += piece.invalid_bytes;
    }
    CHECK(all == text + " \xEF\xBF\xBD");
    CHECK(pieces > 200);
    CHECK(bytes == page.size() + 1);
    CHECK(invalid == 1);
}

TEST_CASE("a page that is too much for the parser is refused by name") {
    TemporaryFolder folder;
    write_text(folder / "long.md", std::string(kLongestMarkup + 1, 'x'));
    std::string table = "|" + std::string(4000, '|') + "\n|";
    for (int i = 0; i < 4000; ++i) table += "-|";
    for (int i = 0; i < 8000; ++i) table += "\n|x|";
    write_text(folder / "table.md", table);
    const auto refusal = [&](const char* name) { return error_of([&] { documents_of({folder / name}); }); };
    CHECK(contains(refusal("long.md"), "long.md: it is longer than 32 MB"));
    CHECK(contains(refusal("table.md"), "table.md: parsing it takes more than"));
}
