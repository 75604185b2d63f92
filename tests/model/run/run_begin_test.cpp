// Whose a run's folder is, and what the beginning of a run does to it.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/message_of.h"
#include "tests/support/run_folder_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

TEST_CASE("a new run: the folder with its parents, the configuration, no checkpoint yet") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "runs" / "one";
    RunConfig config;
    config.set("train.lr=1e-3");
    const BegunRun run(path, config, false);
    CHECK(toml_of(path / "config.toml") == config.to_toml());
    CHECK(list_checkpoints(path).empty());
    CHECK_FALSE(find_checkpoint(path, "auto").has_value());
}

TEST_CASE("an empty folder, or one that a run killed at its start left, is taken") {
    const TemporaryFolder folder;
    fs::create_directory(folder.path() / "empty");
    BegunRun(folder.path() / "empty", RunConfig(), false);
    fs::create_directory(folder.path() / "killed");
    write_text(folder.path() / "killed" / ".lock", "1");
    write_text(folder.path() / "killed" / "half", "[train]\nst");
    fs::rename(folder.path() / "killed" / "half", folder.path() / "killed" / "config.toml.tmp123");
    BegunRun(folder.path() / "killed", RunConfig(), false);
    CHECK(names_in(folder.path() / "killed") == std::vector<std::string>{".lock", "checkpoints", "config.toml"});
}

TEST_CASE("a run that is not begun leaves no trace: not a folder above it, not its lock") {
    const TemporaryFolder folder;
    { const RunFolder run(folder.path() / "runs" / "one", RunConfig(), false); }
    CHECK(names_in(folder.path()).empty());
    fs::create_directory(folder.path() / "empty");
    { const RunFolder run(folder.path() / "empty", RunConfig(), false); }
    CHECK(names_in(folder.path() / "empty").empty());
    write_text(folder.path() / "empty" / ".lock", "12");
    { const RunFolder run(folder.path() / "empty", RunConfig(), false); }
    CHECK(read_text(folder.path() / "empty" / ".lock") == "12");
}

TEST_CASE("a beginning that fails takes back what it did; the error is the one that was met") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run";
    const auto fails = [&](const RunConfig& config) {
        return message_of([&] { RunFolder(path, config, true).begin(10, [] { throw Error("no room"); }); });
    };
    CHECK(fails(RunConfig()) == "no room");
    CHECK(names_in(folder.path()).empty());
    {
        const BegunRun run(path, RunConfig(), false);
        for (const int64_t step : {10, 20}) save(run, step);
    }
    const std::string before = read_text(path / "config.toml");
    RunConfig longer;
    longer.set("train.steps=2000000");
    CHECK(fails(longer) == "no room");
    CHECK(steps(path) == Steps{10, 20});
    CHECK(read_text(path / "config.toml") == before);
    CHECK(names_in(path) == std::vector<std::string>{".lock", "checkpoints", "config.toml"});
}

TEST_CASE("config.toml that was damaged or cut is refused; without a checksum, as older runs have it, it is taken") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run", file = path / "config.toml";
    BegunRun(path, RunConfig(), false);
    const std::string intact = read_text(file);
    for (const std::string& changed :
         {intact.substr(0, intact.size() - 1), intact.substr(0, 40), std::string(), intact + " "}) {
        write_text(file, changed);
        CHECK(message_of([&] { BegunRun(path, RunConfig(), true); }).starts_with(file.string() + ": damaged"));
    }
    write_text(file, RunConfig().to_toml());
    BegunRun(path, RunConfig(), true);
    CHECK(read_text(file) == intact);
}

TEST_CASE("a folder that holds something else is refused by name and left as it was") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "thesis";
    fs::create_directory(path);
    write_text(path / "chapter1.tex", "x");
    for (const bool resume : {false, true}) {
        const std::string message = message_of([&] { BegunRun(path, RunConfig(), resume); });
        CHECK(message == path.string() + ": holds something that is not a run (chapter1.tex); choose another --out");
    }
    CHECK(names_in(path) == std::vector<std::string>{"chapter1.tex"});
    CHECK(message_of([&] {
              BegunRun(path / "chapter1.tex", RunConfig(), false);
          }).ends_with("exists and is not a folder; choose another --out"));
}

TEST_CASE("a folder that holds a run: refused without resume, refused for another run, else opened") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run";
    BegunRun(path, RunConfig(), true);
    CHECK(message_of([&] { BegunRun(path, RunConfig(), false); }) ==
          path.string() + ": holds a run already; go on with --resume auto, or choose another --out");
    RunConfig other;
    other.set("train.lr=2e-4");
    const std::string before = read_text(path / "config.toml");
    CHECK(message_of([&] { BegunRun(path, other, true); }) ==
          path.string() + ": holds another run: train.lr is 0.0001 there and 0.0002 here; choose another --out");
    CHECK(read_text(path / "config.toml") == before);
    RunConfig longer;
    longer.set("train.steps=2000000");
    BegunRun(path, longer, true);
    CHECK(RunConfig::load((path / "config.toml").string()).train.steps == 2'000'000);
}

TEST_CASE("two processes can't train into one run; a killed one leaves no lock") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run";
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const BegunRun run(path, RunConfig(), false);
        if (write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte = 0;
    REQUIRE(read(ready[0], &byte, 1) == 1);
    CHECK(message_of([&] { BegunRun(path, RunConfig(), true); }) ==
          fmt::format("{}: process {} is training into this run", path.string(), child));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ready[0]);
    close(ready[1]);
    BegunRun(path, RunConfig(), true);
}
