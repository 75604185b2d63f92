// `dropforge pretrain` that cannot start: exit code 1 or 2, one line that says why, and every file and folder as it
// was, byte for byte.
#include <doctest/doctest.h>

#include <fstream>

#include "model/checkpoint/manifest.h"
#include "model/run/folder.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Everything below a folder: kind, permissions, and what it holds.
std::map<std::string, std::string> tree(const fs::path& folder) {
    std::map<std::string, std::string> entries;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        const fs::file_status status = entry.symlink_status();
        std::string& text = entries[entry.path().string()];
        text = fmt::format("{} {:o} ", static_cast<int>(status.type()), static_cast<int>(status.permissions()));
        if (fs::is_symlink(status)) text += fs::read_symlink(entry.path());
        if (fs::is_regular_file(status)) text += read_text(entry.path());
    }
    return entries;
}

struct Failure {
    std::string name;
    Arguments arguments;
    std::string message;  // part of it
    Command::Limits limits = {};
};

void check(const Place& place, const Failure& failure) {
    CAPTURE(failure.name);
    const auto before = tree(place.folder.path());
    const CommandResult result = Command(failure.arguments, failure.limits).wait();
    CAPTURE(result.error);
    CHECK((result.exit_code == 1 || result.exit_code == 2));
    CHECK(result.out == "");
    CHECK(contains(result.error, "error: "));
    CHECK(contains(result.error, failure.message));
    const auto after = tree(place.folder.path());
    for (const auto& file : before) {
        CAPTURE(file.first);
        const auto found = after.find(file.first);
        REQUIRE(found != after.end());
        CHECK(found->second == file.second);
    }
    for (const auto& file : after) {
        CAPTURE(file.first);
        CHECK(before.contains(file.first));
    }
}

/// The folder with another bit in one file.
fs::path damaged_copy(const fs::path& folder, const std::string& file, uint64_t offset) {
    const fs::path copy = fmt::format("{}-{}-{}", folder.string(), file, offset);
    if (fs::exists(copy)) return copy;
    fs::copy(folder, copy, fs::copy_options::recursive);
    flip_bit(copy / file, offset);
    return copy;
}

/// What is wrong with a command whatever its run folder is.
std::vector<Failure> wrong_commands(const Place& place, const fs::path& out) {
    const auto command = [&](const Arguments& more) { return pretrain_arguments(place.data, out, 8) + more; };
    const auto set = [&](const std::string& setting) { return command({"--set", setting}); };
    const std::string other_run = (place.folder / "other-run/checkpoints/step-00000002").string();
    return {
        {"no such option", command({"--nonsense"}), "--nonsense"},
        {"a key twice", command({"--seed", "1", "--set", "train.seed=2"}), "contradicts"},
        {"no such key", set("train.lrr=1"), "train.lrr"},
        {"a value out of range", set("train.lr=-1"), "train.lr"},
        {"rules between keys", set("model.heads=3"), "heads (3)"},
        {"less memory than it needs", command({"--set", "train.batch=400000000", "--set", "train.micro_batch=0"}),
         "MB"},
        {"a requirement", command({"--device", "cpu", "--require", "cuda"}), "--require cuda"},
        {"a profile without a GPU", command({"--device", "cpu", "--profile-steps", "3:4"}), "--profile-steps"},
        {"--resume that is not there", command({"--resume", "step-00000009"}), "there is no folder step-00000009"},
        {"--resume of no checkpoint", command({"--resume", place.data.string()}), "expected a checkpoint"},
        {"--resume of another run", command({"--resume", other_run}), "vocab"},
        {"data that are not there", pretrain_arguments(place.folder / "none", out, 8), "none"},
        {"data without a receipt", pretrain_arguments(place.folder / "runs", out, 8), "dataset.json"},
        {"another vocabulary than the data's", pretrain_arguments(damaged_copy(place.data, "vocab.txt", 3), out, 8),
         "vocab.txt: checksum"},
        {"a shard with a damaged header", pretrain_arguments(damaged_copy(place.data, "train-00000.shard", 17), out, 8),
         "header checksum"},
        {"a shard with damaged ids", pretrain_arguments(damaged_copy(place.data, "train-00000.shard", 5000), out, 8),
         "block 0"},
        {"a damaged receipt", pretrain_arguments(damaged_copy(place.data, "dataset.json", 2), out, 8), "damaged"},
        {"a full disk", command({"--quiet"}), "File too large", {.file_bytes = 700}},
    };
}

/// What is wrong only where the weights are new: a run that goes on has its own.
std::vector<Failure> wrong_initial_weights(const Place& place, const fs::path& out) {
    const auto command = [&](const Arguments& more) { return pretrain_arguments(place.data, out, 8) + more; };
    const std::string other_run = (place.folder / "other-run/checkpoints/step-00000002").string();
    return {
        {"--init that is not there", command({"--init", "wrong"}), "wrong"},
        {"--init of another vocabulary", command({"--init", other_run}), "vocab.txt"},
        {"--init against model.init", command({"--init", other_run, "--set", "model.init=mimetic"}), "mimetic"},
    };
}

}  // namespace

TEST_CASE("starts that fail, into a new folder and into an empty one") {
    const Place place;
    const fs::path empty = place.folder / "runs/empty", fresh = place.folder / "runs/deep/new";
    fs::create_directories(empty);
    succeed(pretrain_arguments(prepare_data(place.folder / "other", 400, 110), place.folder / "other-run", 2));
    for (const fs::path& out : {empty, fresh}) {
        for (const Failure& failure : wrong_commands(place, out)) check(place, failure);
        for (const Failure& failure : wrong_initial_weights(place, out)) check(place, failure);
    }
    succeed(pretrain_arguments(place.data, empty, 2));
    succeed(pretrain_arguments(place.data, fresh, 2));
}

TEST_CASE("starts that fail, into a run that has newer checkpoints and metrics than the one to go on from") {
    const Place place;
    succeed(pretrain_arguments(prepare_data(place.folder / "other", 400, 110), place.folder / "other-run", 2));
    fs::create_directory(place.folder / "runs");
    const Arguments often = {"--set", "checkpoint.every=2", "--set", "checkpoint.keep_last=9", "--set", "log.every=1"};
    succeed(place.command(6, often));
    std::ofstream(place.out / "metrics.jsonl", std::ios::app)
        << fmt::format("{{\"step\":7,\"note\":\"{:3000}\"}}\n", "") << "{\"step\":8,\"los";  // torn by a kill
    const Arguments resume = {"--resume", place.checkpoint(2).string(), "--quiet"};
    for (Failure failure : wrong_commands(place, place.out)) {
        check(place, failure);
        if (std::ranges::count(failure.arguments, "--resume") == 0) failure.arguments = failure.arguments + resume;
        check(place, failure);
    }
    const auto refused = [&](const char* name, const Arguments& more, const std::string& message,
                             const Command::Limits& limits = {}) {
        check(place, {name, place.command(8, resume + more), message, limits});
    };
    refused("another run", {"--set", "train.lr=1"}, "holds another run: train.lr is 0.0001 there");
    const std::string other = (place.folder / "other-run/checkpoints/step-00000002").string();
    for (const Arguments& way : {Arguments{"--quiet"}, resume})
        check(place, {"weights to begin with", place.command(8, way + Arguments{"--init", other}), "random weights"});
    refused("weights to begin with that are not there", {"--init", "wrong"}, "wrong/model.safetensors");
    check(place, {"a run that is there", place.command(8, {"--resume", "off"}), "holds a run already"});
    check(place, {"less steps than it warms up", place.command(1), "train.warmup_steps"});
    check(place, {"into data", pretrain_arguments(place.data, place.data, 8), "holds something that is not a run"});
    check(place, {"into a file", pretrain_arguments(place.data, place.data / "vocab.txt", 8), "not a folder"});
    refused("no room for metrics", {}, "File too large", {.file_bytes = 2300});

    const auto while_it_holds = [&](const fs::path& path, const std::string& text, const char* name,
                                    const Arguments& command, const std::string& message) {
        const std::string before = read_text(path);
        write_text(path, text);
        check(place, {name, command, message});
        write_text(path, before);
    };
    const fs::path metrics = place.out / "metrics.jsonl", config = place.out / "config.toml";
    while_it_holds(metrics, "{\"step\":1}\nmine\n{\"step\":2}\n", "a metrics file that is none",
                   place.command(8, resume), "metrics.jsonl:2: expected a JSON object");
    while_it_holds(config, read_text(config) + "\n", "a record that was changed", place.command(8, resume),
                   "config.toml: damaged");
    while_it_holds(place.checkpoint(6) / "trainer.safetensors", "short", "a damaged checkpoint", place.command(8),
                   "checkpoint of step 6 is damaged");

    fs::create_directory(place.out / "set-aside-metrics.jsonl");
    refused("a folder where metrics are set aside", {}, "set-aside-metrics.jsonl");
    fs::remove(place.out / "set-aside-metrics.jsonl");
    {
        FileLock lock(place.out / ".lock", IfHeld::give_up);
        refused("another process trains into it", {}, "is training into this run");
    }
    succeed(place.command(8, resume + often));
    CHECK(list_checkpoints(place.out).size() == 4);
    CHECK(fs::exists(place.out / "checkpoints/set-aside-step-00000006"));
    CHECK(metrics_lines(place.out).size() == 8 + 1);  // an evaluation at the end
}

TEST_CASE("a run whose folder may not be written: nothing is left, here nor there") {
    const Place place;
    succeed(place.command(2));
    for (const auto& entry : fs::recursive_directory_iterator(place.folder.path()))
        fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::remove);
    fs::permissions(place.folder.path(), fs::perms::others_read | fs::perms::others_exec, fs::perm_options::add);
    const Command::Limits others = {.unprivileged = true};
    check(place, {"a run of others", place.command(4), "Permission denied", others});
    check(place,
          {"a folder of others", pretrain_arguments(place.data, place.folder / "a/b", 4), "Permission denied", others});
}
