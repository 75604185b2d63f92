// The command `dropforge tokenize`, run as users run it.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <string>

#include "base/file.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;

namespace {

const fs::path kVocabulary = fs::path(kTestData) / "tokenizer" / "vocab.txt";

struct Result {
    int status;
    std::string out, err;
};

Result tokenize(const std::string& arguments, std::string_view input, const std::string& before = "",
                const std::string& after = "") {
    const TemporaryFolder folder;
    write_text(folder / "in", input);
    const std::string command =
        fmt::format("{}{}/dropforge tokenize {} <'{}' >'{}' 2>'{}'{}", before, kPrograms, arguments,
                    (folder / "in").string(), (folder / "out").string(), (folder / "err").string(), after);
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), read_text(folder / "out"), read_text(folder / "err")};
}

const std::string kVocab = fmt::format("--vocab '{}'", kVocabulary.string());

}  // namespace

TEST_CASE("pieces, ids, JSON; one line out for one line in") {
    const Result pieces = tokenize(kVocab, "Unaffable, the\n\n zz the\r\nthe [MASK]");
    CHECK(pieces.status == 0);
    CHECK(pieces.out == "un ##aff ##able , the\n\n[UNK] the\nthe [ mask ]\n");
    CHECK(pieces.err == "4 lines, 11 pieces, 1 of them [UNK]\n");
    CHECK(tokenize(kVocab + " --ids --quiet", "[mask]\n\n[").out == "5 16 6\n\n5\n");
    CHECK(tokenize(kVocab + " --ids --quiet", "").out.empty());
    CHECK(tokenize(kVocab + " --ids --quiet", "").err.empty());
    CHECK(tokenize(kVocab + " --cased --quiet", "The THE\n").out == "The [UNK]\n");
    CHECK(tokenize(kVocab + " --json --quiet", "the caf\xC3\xA9\n\n[").out == "[\"the\",\"cafe\"]\n[]\n[\"[\"]\n");
    CHECK(tokenize(kVocab + " --json --ids --quiet", "[mask]\n\n").out == "[5,16,6]\n[]\n");
}

TEST_CASE("many lines: the same with one thread and with three") {
    std::mt19937 random(1);
    std::string text;
    while (text.size() < 3'000'000) {
        for (unsigned words = random() % 30; words > 0; --words)
            text += random() % 3 == 0 ? "unaffable " : "the, zz a1\xFF";
        text += '\n';
    }
    const Result one = tokenize(kVocab + " --threads 1", text), three = tokenize(kVocab + " --threads 3", text);
    CHECK(one.status == 0);
    CHECK(std::ranges::count(one.out, '\n') == std::ranges::count(text, '\n'));
    CHECK(one.out == three.out);
    CHECK(one.err == three.err);
}

TEST_CASE("a line far longer than what is read at once, under a limit of memory") {
    std::string line, expected;
    for (int i = 0; i < 6'000'000; ++i) line += i % 2 == 0 ? "the," : "un ";
    for (int i = 0; i < 6'000'000; ++i) expected += i % 2 == 0 ? "the , " : "un ";
    expected.back() = '\n';
#ifdef __SANITIZE_ADDRESS__
    const char* limits = "";  // reserves terabytes of address space
#else
    const char* limits = "ulimit -v 400000; ";  // KiB of address space; the text and its pieces together are 48 MB
#endif
    const Result result = tokenize(kVocab + " --threads 1", line + "\nthe\n", limits);
    CHECK(result.status == 0);
    CHECK((result.out == expected + "the\n"));
}

TEST_CASE("what is wrong is said in one line") {
    const TemporaryFolder folder;
    const std::string path = (folder / "vocab.txt").string();
    const auto error_for = [&](const std::string& vocabulary) {
        write_text(path, vocabulary);
        const Result result = tokenize(fmt::format("--vocab '{}'", path), "a\n");
        CHECK(result.status == 1);
        CHECK(result.out.empty());
        return result.err;
    };
    CHECK(error_for("") == "error: " + path + ": empty; expected one token a line\n");
    CHECK(error_for("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n") ==
          "error: " + path + ": no [MASK] among its 5 tokens; BERT needs [PAD] [UNK] [CLS] [SEP] [MASK]\n");
    CHECK(error_for("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\na\n") ==
          "error: " + path + ", line 8: \"a\" is a duplicate of line 6\n");
    const Result missing = tokenize(fmt::format("--vocab '{}.none'", path), "a\n");
    CHECK(missing.status == 1);
    CHECK(missing.err == "error: " + path + ".none: cannot open: No such file or directory\n");
    const Result full = tokenize(kVocab, "the\n", "", " >/dev/full");
    CHECK(full.status == 1);
    CHECK(full.err == "error: cannot write to stdout: No space left on device\n");
    CHECK(tokenize("", "a\n").status == 2);
    CHECK(tokenize(kVocab + " --nonsense", "a\n").status == 2);
}
