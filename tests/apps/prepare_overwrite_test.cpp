// `dropforge prepare --overwrite`: the old data are there until the new are whole.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "data/shards/dataset.h"
#include "tests/support/command.h"
#include "tests/support/corpus_fixture.h"

using namespace dropforge;
using namespace dropforge::data;
using namespace dropforge::test;

namespace {

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

}  // namespace

TEST_CASE("--overwrite that fails, for any reason, leaves the data as they were") {
    const Corpus corpus;
    const fs::path data = corpus.folder / "data";
    REQUIRE(run_command(corpus.command()).exit_code == 0);
    write_text(data / "notes.txt", "mine");
    const auto before = contents(data);
    const auto fails = [&](const std::vector<std::string>& arguments, const std::string& message,
                           const Command::Limits& limits = {}) {
        CAPTURE(message);
        const CommandResult result = Command(arguments + std::vector<std::string>{"--overwrite"}, limits).wait();
        CHECK(result.exit_code == 1);
        CHECK(contains(result.error, message));
        CHECK(contents(data) == before);
    };
    const auto of = [&](const std::string& text) {
        std::vector<std::string> command = corpus.command();
        command[2] = (corpus.folder / text).string();
        return command;
    };
    write_text(corpus.folder / "empty.txt", "\n \n");
    write_text(corpus.folder / "cut.txt.gz", "\x1f\x8b\x08");
    fails(of("none.txt"), "none.txt");
    fails(of("empty.txt"), "not one token");
    fails(of("cut.txt.gz"), "cut.txt.gz");
    fails(corpus.command() + std::vector<std::string>{"--validation-fraction", "0.99999"}, "nothing left to train on");
    fails(corpus.command() + std::vector<std::string>{"--quiet"}, "File too large", {.file_bytes = 2000});
    const std::string vocabulary = read_text(corpus.folder / "vocab.txt");
    write_text(corpus.folder / "vocab.txt", "[PAD]\n");
    fails(corpus.command(), "no [UNK]");
    write_text(corpus.folder / "vocab.txt", vocabulary);

    write_text(corpus.folder / "text/a.txt", "the river and the hill");
    REQUIRE(run_command(corpus.command() + std::vector<std::string>{"--overwrite"}).exit_code == 0);
    auto fresh = corpus.command();
    fresh[4] = (corpus.folder / "fresh").string();
    REQUIRE(run_command(fresh).exit_code == 0);
    auto expected = contents(corpus.folder / "fresh");
    expected["notes.txt"] = "mine";
    CHECK(contents(data) == expected);
}

TEST_CASE("--overwrite killed at random moments: the old data or the new, or what the next call makes the new") {
    const Corpus corpus(20000);
    const fs::path data = corpus.folder / "data";
    const auto cut = [&](const char* tokens) {
        return corpus.command() + std::vector<std::string>{"--shard-tokens", tokens, "--overwrite"};
    };
    REQUIRE(run_command(cut("40000")).exit_code == 0);
    const auto old_data = contents(data);
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(run_command(cut("30000")).exit_code == 0);
    std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const auto new_data = contents(data);
    REQUIRE(run_command(cut("40000")).exit_code == 0);
    REQUIRE(contents(data) == old_data);
    PhiloxStream random(5, 0);
    int interrupted = 0;
    for (int round = 0; round < 10 || interrupted < 3; ++round) {  // a busy machine may keep missing the moment
        REQUIRE(round < 100);
        Command run(cut("30000"));
        // Most of them near the end, where the new data take the place of the old.
        std::this_thread::sleep_for((round < 3 ? random.uniform() : 0.9 + 0.15 * random.uniform()) * elapsed);
        run.kill(SIGKILL);
        const bool killed = run.wait().exit_code == 128 + SIGKILL;
        interrupted += killed ? 1 : 0;
        if (!killed) elapsed *= 0.95;  // the run that was measured may have waited for others
        if (fs::exists(data / "dataset.json")) {
            Dataset(data, Split::train).verify();
            Dataset(data, Split::validation).verify();
        }
        // Without --overwrite: whole data of either kind are as they were.
        for (const char* tokens : {"40000", "30000"}) {
            auto again = corpus.command() + std::vector<std::string>{"--shard-tokens", tokens};
            run_command(again);
        }
        const auto left = contents(data);
        CHECK((left == old_data || left == new_data));
        REQUIRE(run_command(cut("40000")).exit_code == 0);
    }
}

TEST_CASE("a kill while the new data take the place of the old: the next call ends it") {
    const Corpus corpus;
    const fs::path data = corpus.folder / "data", fresh = data / ".prepare-new";
    REQUIRE(run_command(corpus.command()).exit_code == 0);
    const auto expected = contents(data);
    // As it would be: no receipt but that of the new data, one file in place, an old shard still there, the lock.
    fs::create_directory(fresh);
    for (const char* name : {"dataset.json", "train-00000.shard", "validation-00000.shard"})
        fs::rename(data / name, fresh / name);
    write_text(data / "train-00009.shard", "old");
    write_text(data / "prepare.lock", "");
    CHECK(contains(error_of([&] { Dataset(data, Split::train); }), "dataset.json: not a complete data folder"));
    const CommandResult result = run_command(corpus.command());
    CHECK(contains(result.out, "nothing to do"));
    CHECK(contents(data) == expected);
}
