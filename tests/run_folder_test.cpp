#include "model/run_folder.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "base/philox.h"
#include "message_of.h"
#include "model/manifest.h"
#include "temporary_folder.h"

using namespace dropforge;
using dropforge::test::message_of;

namespace {

std::string content(int64_t step, size_t size) {
    std::string text(size, '\0');
    PhiloxStream random(7, static_cast<uint64_t>(step));
    for (char& c : text) c = static_cast<char>(random.next());
    return text;
}

void write_plainly(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

void fill(const fs::path& folder, int64_t step, size_t size = 100) {
    write_plainly(folder / "model.safetensors", content(step, size));
    write_plainly(folder / "trainer.safetensors", content(step, 2 * size));
    write_plainly(folder / "config.json", "{}\n");
    write_plainly(folder / "vocab.txt", "[PAD]\n");
}

Checkpoint save(const RunFolder& run, int64_t step, size_t size = 100) {
    CheckpointWriter writer(run, step);
    fill(writer.path(), step, size);
    return writer.commit();
}

void flip(const fs::path& file, uint64_t offset, int bit) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    const auto byte = static_cast<char>(stream.get() ^ (1 << bit));
    stream.seekp(static_cast<std::streamoff>(offset));
    stream.put(byte);
}

std::vector<int64_t> steps(const fs::path& run) {
    std::vector<int64_t> found;
    for (const Checkpoint& checkpoint : list_checkpoints(run)) found.push_back(checkpoint.step);
    return found;
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
}

using Steps = std::vector<int64_t>;

/// A run that goes on from its newest checkpoint.
struct BegunRun : RunFolder {
    BegunRun(const fs::path& path, const RunConfig& config, bool resume) : RunFolder(path, config, resume) {
        begin(std::numeric_limits<int64_t>::max());
    }
};

std::string toml_of(const fs::path& config) {
    const std::string text = read_text(config);
    return text.substr(text.find('\n') + 1);  // after its checksum
}

}  // namespace

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
    const std::string whole = read_text(file);
    for (const std::string& changed :
         {whole.substr(0, whole.size() - 1), whole.substr(0, 40), std::string(), whole + " "}) {
        write_text(file, changed);
        CHECK(message_of([&] { BegunRun(path, RunConfig(), true); }).starts_with(file.string() + ": damaged"));
    }
    write_text(file, RunConfig().to_toml());
    BegunRun(path, RunConfig(), true);
    CHECK(read_text(file) == whole);
}

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

TEST_CASE("a damaged file: its offset to the block, both checksums, and the whole older checkpoint as --resume PATH") {
    const TemporaryFolder folder;
    const BegunRun run(folder.path() / "run", RunConfig(), false);
    constexpr size_t kSize = (size_t{5} << 19) + 123;  // two and a half blocks
    const Checkpoint first = save(run, 100, 50), second = save(run, 200, 50), newest = save(run, 300, kSize);
    const fs::path file = newest.path / "model.safetensors";
    const std::string whole = read_text(file);
    const auto error = [&] { return message_of([&] { find_checkpoint(run.path(), "auto"); }); };

    flip(file, (1 << 20) + 77, 3);
    CHECK(error().starts_with("checkpoint of step 300 is damaged: " + file.string() +
                              ": bytes changed in the 1048576 from offset 1048576: checksum "));
    CHECK(error().ends_with("the one of step 200 is whole: --resume " + second.path.string()));
    const std::string expected = error().substr(error().find("checksum ") + 9, 16);
    const std::string found = error().substr(error().find(" found") - 16, 16);
    CHECK(expected != found);
    CHECK(read_text(newest.path / "manifest.json").find(expected) != std::string::npos);

    write_text(file, whole);
    flip(file, kSize - 1, 0);
    CHECK(error().find("bytes changed in the 524411 from offset 2097152") != std::string::npos);

    flip(second.path / "vocab.txt", 2, 1);
    CHECK(error().ends_with("the one of step 100 is whole: --resume " + first.path.string()));
    CHECK(find_checkpoint(run.path(), first.path.string())->step == 100);
    CHECK(message_of([&] {
              find_checkpoint(run.path(), second.path.string());
          }).starts_with("checkpoint of step 200 is damaged: "));

    fs::remove_all(first.path);
    CHECK(error().ends_with("there is no older whole one; start again with another --out"));
    write_text(file, whole);
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
