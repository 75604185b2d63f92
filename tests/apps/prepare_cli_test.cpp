// `dropforge prepare`: what it says and does when all is done already, on bad input, full disks and SIGKILL.
#include <doctest/doctest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/shards/dataset.h"
#include "tests/support/command.h"
#include "tests/support/corpus_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

TEST_CASE("done already, other options, other text, --overwrite, and folders of others") {
    const Corpus corpus;
    const std::vector<std::string> command = corpus.command();
    const auto with = [&](std::vector<std::string> more) {
        std::vector<std::string> all = command;
        all.insert(all.end(), more.begin(), more.end());
        return run_command(all);
    };
    CommandResult result = with({});
    CHECK(result.exit_code == 0);
    CHECK(result.error == "");
    CHECK(contains(result.out, "unigram entropy"));
    const auto expected = contents(corpus.folder / "data");

    CHECK(contains(with({}).out, "nothing to do"));
    result = with({"--json"});
    CHECK(nlohmann::json::parse(result.out).at("already_there") == true);
    result = with({"--shard-tokens", "999"});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "error: " + (corpus.folder / "data").string() +
                                     ": holds other data (shard_tokens is 67108864 in the folder, 999 now)"));
    CHECK(contents(corpus.folder / "data") == expected);
    CHECK(with({"--shard-tokens", "999", "--overwrite"}).exit_code == 0);
    CHECK(Receipt::load(corpus.folder / "data").train.size() > 3);
    CHECK(with({"--overwrite"}).exit_code == 0);
    CHECK(contents(corpus.folder / "data") == expected);

    // Of what else lies in the folder nothing is touched.
    for (const char* name : {"train-1.shard.bak", "train-x.shard", "test-00000.shard", "notes.txt", "vocab.txt.tmp",
                             "dataset.json.tmp12x"}) {
        write_text(corpus.folder / "data" / name, "mine");
    }
    for (const char* name : {"train-00077.shard", "validation-00000.shard.tmp123", "vocab.txt.tmp9"})
        write_text(corpus.folder / "data" / name, "old");
    CHECK(with({"--overwrite"}).exit_code == 0);
    CHECK(contents(corpus.folder / "data").size() == expected.size() + 6);

    write_text(corpus.folder / "text/new.txt", "the river");
    CHECK(contains(with({}).error, "text is 3 files"));
    fs::remove(corpus.folder / "text/new.txt");
    fs::remove(corpus.folder / "data/train-00000.shard");
    result = with({});
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "train-00000.shard"));

    fs::create_directories(corpus.folder / "letters");
    write_text(corpus.folder / "letters/dear.doc", "x");
    result = run_command(corpus.command("letters"));
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "not empty and not a data folder (it holds dear.doc)"));
    CHECK(contents(corpus.folder / "letters").size() == 1);  // not even a lock is left
}

TEST_CASE("bad input of the command: one line that says what and where, and nothing left behind") {
    const Corpus corpus;
    const std::string text = (corpus.folder / "text").string(), out = (corpus.folder / "new").string(),
                      vocab = (corpus.folder / "vocab.txt").string();
    const auto refused = [&](const std::vector<std::string>& arguments, int code, const std::string& part) {
        std::vector<std::string> all = {"prepare", "--quiet"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        const CommandResult result = run_command(all);
        CAPTURE(result.error);
        CHECK(result.exit_code == code);
        CHECK(result.out == "");
        CHECK(result.error.starts_with("error: "));
        CHECK(std::ranges::count(result.error, '\n') == 1);
        CHECK(contains(result.error, part));
        CHECK(!fs::exists(out));
    };
    refused({"--text", text, "--out", out}, 2, "vocab");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--train-vocab", "100"}, 2, "vocab");
    refused({"--out", out, "--vocab", vocab}, 2, "--text");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--validation-fraction", "2"}, 2, "--validation-fraction");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--validation-fraction", "1"}, 1, "validation fraction 1");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--min-document-tokens", "0"}, 2, "from 1 to");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--documents", "page"}, 2, "--documents");
    refused({"--text", text + "/none", "--out", out, "--vocab", vocab}, 1, "none: No such file");
    refused({"--text", text, "--out", out, "--vocab", vocab + "x"}, 1, "vocab.txtx: cannot open: No such file");
    refused({"--text", text, "--out", vocab + "/new", "--vocab", vocab}, 1, "cannot create: Not a directory");
    refused({"--text", text, "--out", corpus.folder.path().string(), "--vocab", vocab}, 1, "lies in the output folder");

    write_text(corpus.folder / "empty.txt", " \n\n \n");
    refused({"--text", (corpus.folder / "empty.txt").string(), "--out", out, "--vocab", vocab}, 1, "not one token");
    fs::create_directories(corpus.folder / "nothing");
    refused({"--text", (corpus.folder / "nothing").string(), "--out", out, "--vocab", vocab}, 1, "no text files");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--min-document-tokens", "1000"}, 1,
            "nothing left to train on");
    write_text(corpus.folder / "no_mask.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n");
    refused({"--text", text, "--out", out, "--vocab", (corpus.folder / "no_mask.txt").string()}, 1, "[MASK]");
    write_text(corpus.folder / "twice.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\nthe\n");
    refused({"--text", text, "--out", out, "--vocab", (corpus.folder / "twice.txt").string()}, 1, "twice.txt");
    write_text(corpus.folder / "cut.txt.gz", std::string("\x1f\x8b\x08\0\0\0\0\0\0\3", 10));
    refused({"--text", (corpus.folder / "cut.txt.gz").string(), "--out", out, "--vocab", vocab}, 1,
            "cut.txt.gz: offset 10: the gzip data is truncated");
    refused({"--text", text, "--out", out, "--train-vocab", "5"}, 1, "a vocabulary of 5 is too small");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--alphabet", "100"}, 2, "--train-vocab");
    refused({"--text", text, "--out", out}, 2, "--vocab or --train-vocab is required");
    refused({"--text", text, "--out", out, "--vocab", vocab, "--train-vocab", "100"}, 2, "excludes");
}

TEST_CASE("a vocabulary larger than the text gives, or with fewer characters than it has, is said") {
    const Corpus corpus;
    const std::string text = (corpus.folder / "text").string(), out = (corpus.folder / "new").string();
    CommandResult result = run_command({"prepare", "--text", text, "--out", out, "--train-vocab", "1000000"});
    CHECK(result.exit_code == 0);
    CHECK(contains(result.error, "not 1000000: the text gives no more\n"));
    CHECK(contains(result.out, "of 1000000 asked for"));
    const Receipt receipt = Receipt::load(out);
    REQUIRE(receipt.trained.has_value());
    CHECK(receipt.trained->requested == 1000000);
    CHECK(receipt.trained->coverage == 1);
    CHECK(receipt.vocabulary_size < 1000);
    CHECK(receipt.vocabulary_size == Vocabulary::load(corpus.folder / "new/vocab.txt").size());
    CHECK(receipt.json() == nlohmann::json::parse(Receipt::load(out).json().dump()));

    std::vector<std::string> limited = {"prepare",       "--text", text,         "--out", out,
                                        "--train-vocab", "60",     "--alphabet", "12",    "--overwrite"};
    result = run_command(limited);
    CHECK(result.exit_code == 0);
    CHECK(contains(result.error, "the vocabulary has 12 of the text's"));
    CHECK(Receipt::load(out).made_from.at("alphabet") == "12 characters");
}

TEST_CASE("no permission to read or write, and a disk that fills up") {
    const Corpus corpus(5000);
    fs::permissions(corpus.folder.path(),
                    fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec | fs::perms::others_read);
    CommandResult result = Command(corpus.command("denied"), {.unprivileged = true}).wait();
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "denied: cannot create: Permission denied"));
    const fs::path file = corpus.folder / "text/a.txt", folder = corpus.folder / "text/more";
    for (const fs::path& path : {file, folder}) fs::permissions(path, fs::perms::none);
    fs::create_directories(corpus.folder / "mine");
    fs::permissions(corpus.folder / "mine", fs::perms::all);
    result = Command(corpus.command("mine"), {.unprivileged = true}).wait();
    CHECK(result.exit_code == 0);
    CHECK(contains(result.out,
                   fmt::format("left out     2 without permission to read: {}, {}\n", folder.string(), file.string())));
    fs::create_directories(corpus.folder / "named");
    fs::permissions(corpus.folder / "named", fs::perms::all);
    for (const fs::path& path : {file, folder}) {
        std::vector<std::string> named = corpus.command("named");
        named[2] = path.string();
        result = Command(named, {.unprivileged = true}).wait();
        CHECK(result.exit_code == 1);
        CHECK(contains(result.error, path == file ? "a.txt: cannot open: Permission denied"
                                                  : "more: cannot list: Permission denied"));
        CHECK(fs::is_empty(corpus.folder / "named"));
        fs::permissions(path, fs::perms::owner_all);
    }

    result = Command(corpus.command("full"), {.file_bytes = 100000}).wait();
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "full/train-00000.shard: cannot write: File too large"));
    CHECK(!fs::exists(corpus.folder / "full"));
}

TEST_CASE("a second prepare on the same folder is refused while the first runs") {
    const Corpus corpus;
    fs::create_directories(corpus.folder / "data");
    const int lock = open((corpus.folder / "data/prepare.lock").c_str(), O_RDWR | O_CREAT, 0644);
    REQUIRE(flock(lock, LOCK_EX) == 0);
    const CommandResult result = run_command(corpus.command());
    CHECK(result.exit_code == 1);
    CHECK(contains(result.error, "another prepare is writing there"));
    close(lock);
    CHECK(run_command(corpus.command()).exit_code == 0);
}

TEST_CASE("killed at random moments, then run again: the same folder, and never a half one that passes for whole") {
    const Corpus corpus(30000);
    std::vector<std::string> command = corpus.command();
    command.insert(command.end(), {"--shard-tokens", "50000"});
    std::vector<std::string> reference = command;
    reference[4] = (corpus.folder / "reference").string();
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(run_command(reference).exit_code == 0);
    const auto duration =
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
    const auto expected = contents(corpus.folder / "reference");
    REQUIRE(expected.size() > 15);
    PhiloxStream random(17, 0);
    int interrupted = 0;
    for (int round = 0; round < 12; ++round) {
        fs::remove_all(corpus.folder / "data");
        for (int kill = 0; kill < 2; ++kill) {  // killed, and killed again while it tidies up
            Command run(command);
            std::this_thread::sleep_for(std::chrono::microseconds(
                static_cast<int64_t>(random.uniform() * static_cast<double>(duration.count()))));
            run.kill(SIGKILL);
            interrupted += run.wait().exit_code == 128 + SIGKILL;
            if (fs::exists(corpus.folder / "data/dataset.json")) {
                Dataset(corpus.folder / "data", Split::train).verify();
            } else {
                CHECK(contains(error_of([&] { Dataset(corpus.folder / "data", Split::train); }), "data folder"));
            }
        }
        REQUIRE(run_command(command).exit_code == 0);
        REQUIRE(contents(corpus.folder / "data") == expected);
    }
    CHECK(interrupted > 5);
}
