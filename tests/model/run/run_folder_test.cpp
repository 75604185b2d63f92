#include "model/run/folder.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/message_of.h"
#include "tests/support/run_folder_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

TEST_CASE("what cannot be removed is told once, and the run goes on") {
    const TemporaryFolder folder;
    BegunRun run(folder.path() / "run", RunConfig(), false);
    for (const int64_t step : {10, 20}) save(run, step);
    // As a file that another client of a network file system holds open.
    const fs::path in_the_way = run.path() / "checkpoints" / fmt::format(".step-00000010.tmp{}", getpid());
    fs::create_directories(in_the_way / "nfs");
    run.prune(1, 0);
    const auto notes = run.take_notes();
    REQUIRE(notes.size() == 1);
    CHECK(notes[0].find("step-00000010: cannot rename: Directory not empty") != std::string::npos);
    CHECK(steps(run.path()) == Steps{10, 20});
    run.prune(1, 0);
    CHECK(run.take_notes().empty());
}

TEST_CASE("checkpoints: named by step, found by number, newest first") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    for (const int64_t step : {1000, 20, 123456789, 999}) save(run, step);
    CHECK(steps(run.path()) == Steps{20, 999, 1000, 123456789});
    const auto found = find_checkpoint(run.path(), "auto");
    REQUIRE(found.has_value());
    CHECK(found->step == 123456789);
    CHECK(names_in(run.path() / "checkpoints").front() == "step-00000020");
    const auto older = find_checkpoint(run.path(), (run.path() / "checkpoints" / "step-00001000").string() + "/");
    REQUIRE(older.has_value());
    CHECK(older->step == 1000);
    CHECK(read_text(older->path / "model.safetensors") == content(1000, 100));
    CHECK(damage(older->path).empty());
    for (const char* not_ours : {"step-7", "step-", "step-00001000x", "step--0000001", "notes"})
        fs::create_directory(run.path() / "checkpoints" / not_ours);
    CHECK(steps(run.path()).size() == 4);
}

TEST_CASE(
    "a writer that never commits leaves nothing; a half-written folder is no checkpoint and goes at the next start") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run", checkpoints = path / "checkpoints";
    {
        const BegunRun run(path, RunConfig(), false);
        save(run, 10);
        CheckpointWriter writer(run, 20);
        fill(writer.path(), 20);
        CHECK(steps(path) == Steps{10});
    }
    CHECK(names_in(checkpoints) == std::vector<std::string>{"step-00000010"});
    // As kill -9 leaves it: before the first file, with some files, with all but the manifest, with everything but the
    // rename.
    for (int files = 0; files <= 5; ++files) {
        const fs::path half = checkpoints / fmt::format(".step-000000{}0.tmp{}", files + 2, 4000 + files);
        fs::create_directory(half);
        if (files >= 4) fill(half, 20);
        if (files == 5) write_manifest(half);
        for (int i = 0; i < files && files < 4; ++i) write_text(half / kCheckpointFiles[i], "x");
    }
    write_text(path / "metrics.jsonl", "");
    fs::create_directory(checkpoints / ".step-00000030.tmpx");  // not a name of ours
    write_text(path / "half", "{");
    fs::rename(path / "half", path / "metrics.jsonl.tmp77");
    CHECK(find_checkpoint(path, "auto")->step == 10);
    const BegunRun run(path, RunConfig(), true);
    CHECK(names_in(checkpoints) == std::vector<std::string>{".step-00000030.tmpx", "step-00000010"});
    CHECK(names_in(path) == std::vector<std::string>{".lock", "checkpoints", "config.toml", "metrics.jsonl"});
}

TEST_CASE("commit: each file that a checkpoint needs must be there, and no checkpoint is replaced") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    for (const char* name : kCheckpointFiles) {
        CheckpointWriter writer(run, 5);
        fill(writer.path(), 5);
        fs::remove(writer.path() / name);
        CHECK(message_of([&] { writer.commit(); }).ends_with(std::string("a checkpoint needs ") + name));
    }
    CHECK(steps(run.path()).empty());
    save(run, 5);
    CHECK(message_of([&] { save(run, 5); }).ends_with("step-00000005: exists already"));
    CHECK(damage(run.path() / "checkpoints" / "step-00000005").empty());
}

TEST_CASE("a flipped bit at any of 300 random places, in any file, is found") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    const fs::path path = save(run, 1, 3000).path;
    PhiloxStream random(1, 2);
    for (const char* name : {"model.safetensors", "trainer.safetensors", "config.json", "vocab.txt", "manifest.json"}) {
        const auto size = static_cast<uint32_t>(fs::file_size(path / name));
        for (int trial = 0; trial < 60; ++trial) {
            const uint32_t offset = random.below(size);
            const auto bit = static_cast<int>(random.below(8));
            flip(path / name, offset, bit);
            const std::string fault = damage(path);
            CHECK_MESSAGE(fault.starts_with((path / name).string() + ": "), name, " byte ", offset, " bit ", bit);
            flip(path / name, offset, bit);
        }
    }
    CHECK(damage(path).empty());
}

TEST_CASE("a damaged file: its offset to the block, both checksums, and the intact older checkpoint as --resume PATH") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    constexpr size_t kSize = (size_t{5} << 19) + 123;  // two and a half blocks
    const Checkpoint first = save(run, 100, 50), second = save(run, 200, 50), newest = save(run, 300, kSize);
    const fs::path file = newest.path / "model.safetensors";
    const std::string intact = read_text(file);
    const auto error = [&] { return message_of([&] { find_checkpoint(run.path(), "auto"); }); };

    flip(file, (1 << 20) + 77, 3);
    CHECK(error().starts_with("checkpoint of step 300 is damaged: " + file.string() +
                              ": bytes changed in the 1048576 from offset 1048576: checksum "));
    CHECK(error().ends_with("the one of step 200 is intact: --resume " + second.path.string()));
    const std::string expected = error().substr(error().find("checksum ") + 9, 16);
    const std::string found = error().substr(error().find(" found") - 16, 16);
    CHECK(expected != found);
    CHECK(read_text(newest.path / "manifest.json").find(expected) != std::string::npos);

    write_text(file, intact);
    flip(file, kSize - 1, 0);
    CHECK(error().find("bytes changed in the 524411 from offset 2097152") != std::string::npos);

    flip(second.path / "vocab.txt", 2, 1);
    CHECK(error().ends_with("the one of step 100 is intact: --resume " + first.path.string()));
    CHECK(find_checkpoint(run.path(), first.path.string())->step == 100);
    CHECK(message_of([&] {
              find_checkpoint(run.path(), second.path.string());
          }).starts_with("checkpoint of step 200 is damaged: "));

    fs::remove_all(first.path);
    CHECK(error().ends_with("there is no older intact one; start again with another --out"));
    write_text(file, intact);
    CHECK(find_checkpoint(run.path(), "auto")->step == 300);
}

TEST_CASE("missing, truncated and grown files; a manifest that is missing, empty or of something else") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    const fs::path path = save(run, 1).path;
    const fs::path file = path / "trainer.safetensors", manifest = path / "manifest.json";
    const std::string text = read_text(file), manifest_text = read_text(manifest);
    fs::resize_file(file, 150);
    CHECK(damage(path) == file.string() + ": 200 bytes expected, 150 found");
    fs::resize_file(file, 250);
    CHECK(damage(path) == file.string() + ": 200 bytes expected, 250 found");
    CHECK(missing_part(path) == damage(path));
    fs::remove(file);
    CHECK(damage(path) == file.string() + ": missing");
    CHECK(missing_part(path) == damage(path));
    write_text(file, text);
    CHECK(damage(path).empty());

    write_text(path / "README.md", "a file more is no damage");
    CHECK(damage(path).empty());

    for (const std::string bad : {"", "{", "[]", "{}", "{\"contents\":{},\"xxh64\":\"0\"}"}) {
        write_text(manifest, bad);
        CHECK(damage(path).starts_with(manifest.string() + ": "));
    }
    fs::remove(manifest);
    CHECK(damage(path) == manifest.string() + ": missing");
}

TEST_CASE("a manifest covers every file of the checkpoint, also those that only Hugging Face needs") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    CheckpointWriter writer(run, 1);
    fill(writer.path(), 1);
    write_text(writer.path() / "tokenizer_config.json", "{}");
    write_text(writer.path() / "empty", "");
    const fs::path path = writer.commit().path;
    CHECK(damage(path).empty());
    flip(path / "tokenizer_config.json", 0, 0);
    CHECK(damage(path).starts_with((path / "tokenizer_config.json").string()));
}

TEST_CASE("--resume PATH that is no checkpoint") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    const std::string nowhere = (folder.path() / "nowhere").string();
    CHECK(message_of([&] { find_checkpoint(run.path(), nowhere); }) == "--resume: there is no folder " + nowhere);
    CHECK(message_of([&] {
              find_checkpoint(run.path(), run.path().string());
          }).starts_with("--resume: expected a checkpoint, a folder named step-…, got "));
}

TEST_CASE("pruning: the last N, the multiples of M, never the newest with all its parts") {
    const TemporaryFolder folder;
    BegunRun run(folder.path() / "run", RunConfig(), false);
    for (int64_t step = 100; step <= 1000; step += 100) save(run, step);
    run.prune(10, 0);
    CHECK(steps(run.path()).size() == 10);
    run.prune(3, 300);
    CHECK(steps(run.path()) == Steps{300, 600, 800, 900, 1000});
    fs::remove(run.path() / "checkpoints" / "step-00001000" / "manifest.json");
    fs::resize_file(run.path() / "checkpoints" / "step-00000900" / "model.safetensors", 1);
    run.prune(1, 0);
    CHECK(steps(run.path()) == Steps{800, 1000});
    CHECK(names_in(run.path() / "checkpoints").size() == 2);
}

TEST_CASE("going on from an older checkpoint sets the later ones aside, so that auto never finds an abandoned future") {
    const TemporaryFolder folder;
    BegunRun run(folder.path() / "run", RunConfig(), false);
    for (const int64_t step : {10, 20, 30}) save(run, step);
    CHECK(run.begin(30).empty());
    CHECK(run.begin(10).size() == 2);
    CHECK(steps(run.path()) == Steps{10});
    save(run, 20);
    const auto again = run.begin(10);
    REQUIRE(again.size() == 1);
    CHECK(again[0].filename() == "set-aside-step-00000020-2");
    CHECK(damage(again[0]).empty());
    CHECK(find_checkpoint(run.path(), "auto")->step == 10);
}

TEST_CASE("killed with SIGKILL at random moments of saving and pruning: there is always a whole newest checkpoint") {
    const TemporaryFolder folder;
    const fs::path path = folder.path() / "run";
    BegunRun(path, RunConfig(), false);
    const auto begin = std::chrono::steady_clock::now();
    save(BegunRun(path, RunConfig(), true), 1, 300'000);
    const std::chrono::duration<double> a_save = std::chrono::steady_clock::now() - begin;
    PhiloxStream random(3, 4);
    for (int trial = 0; trial < 20; ++trial) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            BegunRun run(path, RunConfig(), true);
            for (int64_t step = list_checkpoints(path).back().step + 1;; ++step) {
                save(run, step, 300'000);
                run.prune(2, 0);
            }
        }
        std::this_thread::sleep_for(4 * random.uniform() * a_save);
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        const auto found = find_checkpoint(path, "auto");
        REQUIRE(found.has_value());
        CHECK(read_text(found->path / "trainer.safetensors") == content(found->step, 600'000));
        const BegunRun run(path, RunConfig(), true);
        for (const std::string& name : names_in(path / "checkpoints")) CHECK(name.starts_with("step-"));
    }
    CHECK(list_checkpoints(path).back().step > 1);
}
