// Which files are text, in which order, and what is left out; docs/text.md row by row.
#include "data/text/text_files.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/support/compression.h"
#include "tests/support/data_fixture.h"
#include "tests/support/paths.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

using Names = std::vector<std::string>;

struct Tree {
    TemporaryFolder folder;
    ListOptions options;

    void write(const std::string& name, const std::string& text = "a river") const {
        fs::create_directories((folder / name).parent_path());
        write_text(folder / name, text);
    }
    void link(const std::string& to, const std::string& name) const { fs::create_symlink(to, folder / name); }

    TextFiles found(const Names& names = {"."}) const {
        std::vector<fs::path> paths;
        for (const std::string& name : names) paths.push_back(name == "." ? folder.path() : folder / name);
        TextFiles found = list_text_files(paths, options);
        check_contents(found);
        return found;
    }
    Names names(const Names& given = {"."}) const {
        Names names;
        for (const TextFile& file : found(given).files) names.push_back(relative(file.path.string()));
        return names;
    }
    std::string relative(const std::string& path) const { return path.substr(folder.path().string().size() + 1); }
    std::string refusal(const std::string& name) const {
        return error_of([&] { found({name}); });
    }
    /// The only example of a reason; "" unless there is one.
    std::string left_out(Reason reason, const Names& given = {"."}) const {
        const LeftOut all = found(given).left_out;
        return all.count(reason) == 1 ? relative(all.examples(reason)[0]) : "";
    }
};

/// The rows of the tables of docs/text.md whose first cell is code, as cells.
std::vector<std::vector<std::string>> rows_of_manual() {
    std::vector<std::vector<std::string>> rows;
    std::istringstream manual(read_text(fs::path(kTestData).parent_path().parent_path() / "docs/text.md"));
    for (std::string line; std::getline(manual, line);) {
        if (!line.starts_with("| `") && !line.starts_with("| none")) continue;
        std::vector<std::string>& cells = rows.emplace_back();
        for (size_t at = 0, end; (end = line.find(" |", at)) != std::string::npos; at = end + 1)
            cells.push_back(line.substr(at + 2, end - at - 2));
    }
    return rows;
}

std::string utf16(const std::string& text, bool mark) {
    std::string bytes = mark ? std::string("\xFF\xFE") : "";
    for (const char c : text) bytes += std::string{c, '\0'};
    return bytes;
}

}  // namespace

TEST_CASE("folders give their files sorted by path, files keep the order they are given in; nothing comes twice") {
    Tree tree;
    for (const char* name : {"z.txt", "a.md", "b/c.html", "b/a.htm", "b/D.TXT", "b.txt", "b/c/e.txt"}) tree.write(name);
    CHECK(tree.names() == Names{"a.md", "b.txt", "b/D.TXT", "b/a.htm", "b/c.html", "b/c/e.txt", "z.txt"});
    CHECK(tree.names({"z.txt", "b", "a.md", "."}) ==
          Names{"z.txt", "b/D.TXT", "b/a.htm", "b/c.html", "b/c/e.txt", "a.md", "b.txt"});
    const LeftOut left_out = tree.found({"z.txt", "b", "z.txt", "."}).left_out;
    CHECK(left_out.count(Reason::seen_before) == 3);  // z.txt twice, and the folder b
    CHECK(left_out.total() == 3);
}

TEST_CASE("links are followed, after what is there itself; loops are cut") {
    Tree tree;
    tree.write("text/z.txt");
    tree.write("text/sub/b.txt");
    tree.write("elsewhere/deep/c.txt");
    tree.write("elsewhere/d.txt");
    tree.link("../elsewhere", "text/a");
    tree.link("z.txt", "text/b.txt");
    tree.link("sub", "text/c");
    tree.link("..", "text/up");
    tree.link("here", "text/here");
    tree.link("nowhere", "text/lost.txt");
    tree.link("../../text", "elsewhere/deep/back");
    CHECK(tree.names({"text"}) == Names{"text/a/d.txt", "text/a/deep/c.txt", "text/sub/b.txt", "text/z.txt"});
    const LeftOut left_out = tree.found({"text"}).left_out;
    CHECK(left_out.count(Reason::link_loop) == 2);    // up, here
    CHECK(left_out.count(Reason::seen_before) == 3);  // b.txt, c, a/deep/back
    CHECK(left_out.count(Reason::broken_link) == 1);
    CHECK(left_out.total() == 6);
    tree.link("text/a", "all");
    CHECK(tree.names({"all"}) ==
          Names{"all/d.txt", "all/deep/back/sub/b.txt", "all/deep/back/z.txt", "all/deep/c.txt"});
    fs::create_hard_link(tree.folder / "text/z.txt", tree.folder / "text/zz.txt");
    CHECK(tree.names({"text"}).size() == 4);
}

TEST_CASE("folders of Dropforge inside of the text, and the output folder's own files, are no text") {
    Tree tree;
    tree.write("a.txt");
    for (const char* name :
         {"data/dataset.json", "data/train-00000.shard", "data/vocab.txt", "killed/prepare.lock", "killed/vocab.txt",
          "run/config.toml", "run/metrics.jsonl", "run/checkpoints/step-1/vocab.txt", "copy/config.json",
          "copy/model.safetensors", "copy/vocab.txt", "out/vocab.txt", "out/.tmp", "out/dataset.json",
          "out/train-00000.shard", "out/texts/b.txt", "novel/config.toml", "novel/c.txt"}) {
        tree.write(name);
    }
    tree.options.output = tree.folder / "out";
    CHECK(tree.names() == Names{"a.txt", "novel/c.txt", "out/texts/b.txt"});
    const LeftOut left_out = tree.found().left_out;
    CHECK(left_out.count(Reason::dropforge_folder) == 4);
    CHECK(left_out.count(Reason::unknown_ending) == 1);  // novel/config.toml
    CHECK(left_out.total() == 5);
    CHECK(tree.names({"out"}) == Names{"out/texts/b.txt"});
    CHECK(contains(tree.refusal("run"), "run: a folder with data, a run or a model, not text"));
    CHECK(contains(tree.refusal("out/vocab.txt"), "vocab.txt: lies in the output folder"));
    CHECK(contains(tree.refusal("run/checkpoints/step-2"), "step-2: No such file or directory"));
}

TEST_CASE("what is given by its path must be text; no text at all is an error with the reasons") {
    Tree tree;
    tree.write("a.pdf");
    tree.write("b/x.pdf");
    tree.write("b/.hidden.txt");
    tree.write("nul.txt", std::string(100, '\0'));
    tree.write("utf16.txt", utf16("a river", true));
    tree.write("empty.txt", "");
    tree.write("good.txt");
    CHECK(contains(tree.refusal("a.pdf"), "a.pdf: not a kind of text that can be read: .txt, "));
    CHECK(contains(tree.refusal("nul.txt"), "nul.txt: binary, not text"));
    CHECK(contains(tree.refusal("utf16.txt"), "utf16.txt: the text is UTF-16 or of another encoding, expected UTF-8"));
    CHECK(contains(tree.refusal("b"), "b: no text files (.txt, "));
    CHECK(contains(tree.refusal("b"), "left out: 1 of an ending that is not text's"));
    CHECK(contains(tree.refusal("b"), "left out: 1 hidden (the name begins with a dot): "));
    CHECK(contains(tree.refusal("empty.txt"), "left out: 1 empty: "));
    CHECK(tree.names({"empty.txt", "good.txt"}) == Names{"good.txt"});
    CHECK(tree.names({"b/.hidden.txt"}) == Names{"b/.hidden.txt"});
    tree.options.any_ending = true;
    CHECK(tree.names({"b/x.pdf", "a.pdf"}) == Names{"b/x.pdf", "a.pdf"});
}

TEST_CASE("what a file holds is judged by its first bytes, unpacked") {
    const std::string ascii(2000, 'a'), e_acute = "\xE9";
    const auto is_text = [](const std::string& name, const std::string& bytes) {
        Tree tree;
        tree.write("a.txt");
        tree.write(name, bytes);
        return tree.found().files.size() == 2;
    };
    std::string latin1, windows1251, broken = ascii + ascii;
    for (int i = 0; i < 40; ++i) {
        latin1 += "d\xE9j\xE0 vu, une phrase de plus. ";
        windows1251 += "\xEF\xF0\xE8\xE2\xE5\xF2 ";
    }
    for (size_t i = 0; i < 30; ++i) broken[100 * i] = '\xFF';
    CHECK(!is_text("b.txt", latin1));
    CHECK(!is_text("b.txt", windows1251));
    CHECK(!is_text("b.txt.gz", gzip(latin1)));
    CHECK(is_text("b.txt", broken));
    CHECK(is_text("b.txt", "caf" + e_acute));
    CHECK(is_text("b.txt", ascii + '\0' + ascii));
    CHECK(!is_text("b.txt", ascii + std::string(10, '\0') + ascii));
    CHECK(!is_text("b.txt", gzip(ascii + latin1)));
    CHECK(!is_text("b.txt", utf16("a river without a mark", false)));
    CHECK(!is_text("b.txt.xz", xz(utf16("a river", true))));
    CHECK(!is_text("b.txt.bz2", bzip2("")));
    std::string chinese(3 * 30000, '\0');  // the 65536 bytes end inside of a character
    for (size_t i = 0; i < chinese.size(); ++i) chinese[i] = "\xE4\xB8\xAD"[i % 3];
    CHECK(is_text("b.txt", chinese));
    CHECK(is_text("b.txt", "x" + chinese));
}

TEST_CASE(".json is text where its first line is an object with the key, however long that line is") {
    const std::string line = "{\"id\": 1, \"text\": \"a river\"}\n", spaces(100000, ' ');
    const auto is_text = [](const std::string& bytes) {
        Tree tree;
        tree.write("a.txt");
        tree.write("b.json.gz", gzip(bytes));
        const TextFiles found = tree.found();
        CHECK(found.files.size() + found.left_out.count(Reason::unknown_ending) == 2);
        return found.files.size() == 2;
    };
    CHECK(is_text(line + line));
    CHECK(is_text("\n" + spaces + line + "an error that the reader names"));
    CHECK(is_text("{\"text\": null}\n" + line));
    CHECK(!is_text("{\n  \"text\": \"a river\"\n}\n"));
    CHECK(!is_text("{\"version\": 1}" + spaces));
    CHECK(!is_text("[\"text\"]"));
    Tree tree;
    tree.write("a.json", "{}");
    CHECK(contains(tree.refusal("a.json"), "a.json: not a kind of text that can be read: "));
    tree.write("a.json", "{\"content\": \"a river\"}");
    tree.options.json_key = "content";
    CHECK(tree.names() == Names{"a.json"});
}

TEST_CASE("names of any bytes are counted in printable form, with a few examples") {
    Tree tree;
    tree.write("a.txt");
    for (int i = 0; i < 9; ++i) tree.write(fmt::format("b/{}.doc", i));
    tree.write("bad\xFF\n.doc");
    const LeftOut left_out = tree.found().left_out;
    CHECK(left_out.count(Reason::unknown_ending) == 10);
    CHECK(left_out.examples(Reason::unknown_ending).size() == LeftOut::kExamples);
    CHECK(tree.relative(left_out.examples(Reason::unknown_ending)[0]) == "bad\xEF\xBF\xBD?.doc");
    REQUIRE(left_out.lines().size() == 1);
    CHECK(left_out.lines()[0].starts_with("10 of an ending that is not text's"));
    CHECK(left_out.lines()[0].ends_with("b/3.doc, …"));
    CHECK(LeftOut::from_json(left_out.json()).lines() == left_out.lines());
}

TEST_CASE("docs/text.md: each ending, in both cases, alone and compressed, is read as its row says") {
    const std::map<std::string, TextFormat> formats = {
        {"plain text", TextFormat::plain},
        {"Markdown", TextFormat::markdown},
        {"HTML", TextFormat::html},
        {"JSON Lines", TextFormat::json_lines},
        {"JSON Lines, if the first line is an object with the key; else left out", TextFormat::json_lines}};
    const std::map<std::string, std::string (*)(const std::string&)> codecs = {
        {"gzip", gzip}, {"bzip2", bzip2}, {"xz", xz}, {"zstd", [](const std::string& text) { return zstd(text); }}};
    std::map<std::string, TextFormat> endings = {{"", TextFormat::plain}};
    std::map<std::string, std::string (*)(const std::string&)> compressed = {
        {"", [](const std::string& text) { return text; }}};
    for (const std::vector<std::string>& row : rows_of_manual()) {
        for (size_t at = 0; (at = row[0].find('.', at)) != std::string::npos; ++at) {
            const std::string ending = row[0].substr(at, row[0].find('`', at) - at);
            if (formats.contains(row[1])) endings[ending] = formats.at(row[1]);
            if (codecs.contains(row[1])) compressed[ending] = codecs.at(row[1]);
        }
    }
    CHECK(endings.size() == 9);
    CHECK(compressed.size() == 5);
    for (const auto& [ending, format] : endings) {
        for (const auto& [last, compress] : compressed) {
            Tree tree;
            std::string name = "a" + ending + last, upper = "B" + ending + last;
            std::ranges::transform(upper, upper.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
            tree.write(name, compress("{\"text\": \"a river\"}"));
            tree.write(upper, compress("{\"text\": \"a hill\"}"));
            tree.options.any_ending = ending + last == "";
            CAPTURE(name);
            const TextFiles found = tree.found();
            REQUIRE(found.files.size() == 2);
            for (const TextFile& file : found.files) CHECK(file.format == format);
        }
    }
}

TEST_CASE("docs/text.md: each reason has a row, and is what its row says") {
    const std::map<std::string, std::function<void(Tree&)>> make = {
        {"unknown_ending", [](Tree& tree) { tree.write("x"); }},
        {"hidden", [](Tree& tree) { tree.write(".x/b.txt"); }},
        {"broken_link", [](Tree& tree) { tree.link("none", "x"); }},
        {"link_loop", [](Tree& tree) { tree.link(".", "x"); }},
        {"not_a_file", [](Tree& tree) { REQUIRE(mkfifo((tree.folder / "x").c_str(), 0600) == 0); }},
        {"dropforge_folder", [](Tree& tree) { tree.write("x/prepare.lock"); }},
        {"seen_before", [](Tree& tree) { tree.link("a.txt", "x"); }},
        {"empty", [](Tree& tree) { tree.write("x.txt", ""); }},
        {"binary", [](Tree& tree) { tree.write("x.txt", "PK\3\4\x14\0\0"); }},
        {"encoding", [](Tree& tree) { tree.write("x.txt", utf16("a river", true)); }}};
    std::set<std::string> reasons;
    for (const std::vector<std::string>& row : rows_of_manual()) {
        const std::string name = row[0].substr(1, row[0].size() - 2);
        if (row[0].starts_with("`") && row[0].find('.') == std::string::npos) reasons.insert(name);
    }
    for (size_t i = 0; i < kReasons; ++i) {
        const auto reason = static_cast<Reason>(i);
        CAPTURE(name_of(reason));
        CHECK(reasons.erase(name_of(reason)) == 1);
        const auto made = make.find(name_of(reason));
        if (made == make.end())
            continue;  // unreadable: prepare_cli_test; too_complex: text_reader_test; no_text_in_line: json_lines_test
        Tree tree;
        tree.write("a.txt");
        tree.options.any_ending = reason == Reason::seen_before;
        made->second(tree);
        CHECK(tree.names() == Names{"a.txt"});
        CHECK(tree.found().left_out.total() == 1);
        CHECK(tree.left_out(reason).starts_with(reason == Reason::hidden ? ".x" : "x"));
    }
    CHECK(reasons.empty());
}
