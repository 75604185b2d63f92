// The command `dropforge pretrain`, run as users run it: what it leaves behind, and how it refuses what is wrong.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "data/shards/dataset.h"
#include "engine/safetensors.h"
#include "model/checkpoint/manifest.h"
#include "model/run/folder.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Fills a tensor of a model file with numbers whose sums overflow, and puts right the manifest if there is one.
void poison(const fs::path& checkpoint, const std::string& tensor) {
    const fs::path path = checkpoint / "model.safetensors";
    std::string bytes = read_text(path);
    const TensorInfo info = SafetensorsFile(path).info(tensor);
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof(header));
    const float huge = 3e38F;
    for (uint64_t at = info.begin; at < info.end; at += sizeof(huge))
        std::memcpy(bytes.data() + sizeof(header) + header + at, &huge, sizeof(huge));
    write_text(path, bytes);
    if (fs::exists(checkpoint / "manifest.json")) {
        fs::remove(checkpoint / "manifest.json");
        write_manifest(checkpoint);
    }
}

}  // namespace

TEST_CASE("a run from start to end, and what it leaves; the same command again has nothing to do") {
    const Place place;
    const auto command =
        place.command(6, {"--set", "checkpoint.every=2", "--set", "log.every=2", "--set", "eval.every=3"});
    const CommandResult first = succeed(command);
    CHECK(first.out == "checkpoint: " + place.checkpoint(6).string() + "\n");
    CHECK(contains(first.error, "step 6/6  loss "));
    CHECK(contains(first.error, "step 3  validation: loss "));
    CHECK(list_checkpoints(place.out).size() == 2);
    const auto before = files_below(place.out);
    const CommandResult again = succeed(command);
    CHECK(again.out == first.out);
    CHECK(contains(again.error, "the run has done 6 of 6 steps: nothing to do"));
    CHECK(contains(succeed(place.command(4)).error, "the run has done 6 of 4 steps"));
    CHECK(files_below(place.out) == before);
    const CommandResult more = succeed(place.command(7, {"--quiet", "--json"}));
    CHECK(more.error == "");
    const auto json = nlohmann::json::parse(more.out);
    CHECK(json["step"] == 7);
    CHECK(json["checkpoint"] == place.checkpoint(7).string());
    CHECK(json["eval_loss"].is_number());
}

TEST_CASE("--help of every subcommand shows an example; --version says what was built") {
    for (const char* name : {"prepare", "tokenize", "pretrain", "evaluate", "fill", "inspect", "parity"}) {
        const CommandResult help = run_command({name, "--help"});
        CAPTURE(name);
        CHECK(help.exit_code == 0);
        CHECK(help.error == "");
        CHECK((contains(help.out, "Example: dropforge ") || contains(help.out, "Examples:\n")));
        CHECK(contains(help.out, "dropforge " + std::string(name) + " "));
    }
    const CommandResult version = run_command({"--version"});
    CHECK(version.exit_code == 0);
    for (const char* part : {"dropforge ", "revision ", "compiler ", "CPU kernels ", "backends      cpu"})
        CHECK_MESSAGE(contains(version.out, part), part);
    CHECK(run_command({"pretrain", "--version"}).out == version.out);
}

TEST_CASE("wrong usage: exit 2, one line, nothing written") {
    const Place place;
    const std::string data = place.data.string(), out = place.out.string();
    check_refused({}, 2, {"subcommand"});
    check_refused({"pretrian"}, 2, {"pretrian"});
    check_refused({"pretrain", "--data", data, "--out", out}, 2, {"config"});
    check_refused({"pretrain", "bert-tiny", "--data", data}, 2, {"--out"});
    check_refused(place.command(5, {"--nonsense"}), 2, {"--nonsense"});
    check_refused(place.command(5, {"--device", "abacus"}), 2, {"--device", "abacus"});
    check_refused(place.command(5, {"--threads", "0"}), 2, {"--threads"});
    check_refused(place.command(5, {"--trace", "-1"}), 2, {"--trace"});
    CHECK(!fs::exists(place.out));
}

TEST_CASE("--dry-run: the numbers on stdout, nothing written; a run that cannot fit is refused with them") {
    const Place place;
    const CommandResult text = succeed(place.command(5, {"--dry-run", "--quiet"}));
    for (const char* part : {"M parameters", "FLOPs ", "memory ", "MB available"})
        CHECK_MESSAGE(contains(text.out, part), part);
    CHECK(text.error == "");
    const auto json = nlohmann::json::parse(succeed(place.command(5, {"--dry-run", "--json"})).out);
    for (const char* key : {"parameters", "flops_per_step", "memory_bytes", "available_bytes"})
        CHECK_MESSAGE(json[key].get<double>() > 0, key);
    check_refused(place.command(5, {"--set", "train.batch=500000000", "--set", "train.micro_batch=0"}), 1,
                  {"the run needs ", " MB of memory", "activations", "are available",
                   "with 1 of its 500000000 sequences", "train.batch="});
    CHECK(!fs::exists(place.out));
    CHECK(run_command(place.command(5, {"--dry-run", "--set", "train.batch=500000000", "--set", "train.micro_batch=0"}))
              .exit_code == 1);
}

TEST_CASE("places that cannot be a run's folder") {
    const Place place;
    const auto refused = [&](const fs::path& out, std::initializer_list<std::string> parts) {
        check_refused(pretrain_arguments(place.data, out, 3), 1, parts);
    };
    const auto data_before = files_below(place.data);
    refused(place.data, {place.data.string(), "not a run"});
    refused(place.data / "vocab.txt", {"not a folder"});
    refused(place.data / "vocab.txt" / "run", {"vocab.txt/run", "Not a directory"});
    refused("/proc/run", {"/proc/run", "cannot create"});
    CHECK(files_below(place.data) == data_before);
    fs::create_directories(place.folder / "locked");
    fs::permissions(place.folder / "locked", fs::perms::owner_all);
    fs::permissions(place.folder.path(), fs::perms::owner_all | fs::perms::others_read | fs::perms::others_exec);
    const CommandResult denied =
        Command(pretrain_arguments(place.data, place.folder / "new", 3), {.unprivileged = true}).wait();
    CHECK(denied.exit_code == 1);
    CHECK(contains(denied.error, "new: cannot create: Permission denied"));
}

TEST_CASE("a full disk: the file is named, and the last checkpoint stays") {
    const Place place;
    succeed(place.command(2));
    const CommandResult full = Command(place.command(4), {.file_bytes = 40000}).wait();
    CHECK(full.exit_code == 1);
    CHECK(contains(full.error, "model.safetensors: cannot write: File too large"));
    const auto left = list_checkpoints(place.out);
    REQUIRE(left.size() == 1);
    CHECK(damage(left[0].path) == "");
    succeed(place.command(4));
}

TEST_CASE("the folder of another run is refused and left as it was") {
    const Place place;
    succeed(place.command(2));
    const auto before = files_below(place.out);
    check_refused(place.command(4, {"--seed", "7"}), 1, {place.out.string(), "train.seed is 0 there and 7 here"});
    check_refused(place.command(4, {"--set", "model.layers=1"}), 1, {"model.layers is 2 there and 1 here"});
    check_refused(place.command(4, {"--resume", "off"}), 1, {place.out.string(), "holds a run already"});
    CHECK(files_below(place.out) == before);

    // A checkpoint of that run for a run of other settings, and things that are no checkpoints, for a new folder.
    const fs::path other = place.folder / "other";
    const auto resume = [&](const fs::path& from, const Arguments& more, std::initializer_list<std::string> parts) {
        check_refused(pretrain_arguments(place.data, other, 4) + more + Arguments{"--resume", from.string()}, 1, parts);
        CHECK(!fs::exists(other));
    };
    resume(place.checkpoint(2), {"--set", "train.lr=1"}, {"a checkpoint of another run", "train.lr is 0.0001 there"});
    resume(place.checkpoint(3), {}, {"there is no folder", "step-00000003"});
    resume(place.out, {}, {"expected a checkpoint", place.out.string()});
    succeed(pretrain_arguments(place.data, other, 4) + Arguments{"--resume", place.checkpoint(2).string()});
}

TEST_CASE("data prepared anew from another text is not trained on unnoticed; from the same text it is the same data") {
    const Place place;
    const std::string text = (place.folder / "text.txt").string(), vocabulary = (place.folder / "vocab.txt").string();
    fs::copy_file(place.data / "vocab.txt", vocabulary);
    succeed(place.command(2));
    const auto prepare = [&](const std::string& from) {
        write_text(text, from);
        succeed({"prepare", "--quiet", "--overwrite", "--text", text, "--vocab", vocabulary, "--out",
                 place.data.string(), "--validation-fraction", "0.1"});
        return data::hex(data::Dataset(place.data, data::Split::train).fingerprint());
    };
    const std::string original = read_text(text), prepared = prepare(original + "ba ne ti lo mu ra ke shi dor van ba.");
    const auto before = files_below(place.out);
    const std::string recorded = SafetensorsFile(place.checkpoint(2) / "trainer.safetensors").metadata().at("data");
    CHECK(recorded != prepared);
    check_refused(place.command(4), 1,
                  {place.checkpoint(2).string(), "other data", recorded, place.data.string(), prepared});
    CHECK(files_below(place.out) == before);
    CHECK(prepare(original) == recorded);
    succeed(place.command(4));
}

TEST_CASE("a run's data are known by what they are, wherever they lie and however the path is written") {
    const Place place;
    succeed(place.command(2));
    const fs::path moved = place.folder / "moved caf\xe9", link = place.folder / "link";  // not UTF-8
    fs::create_directory_symlink(place.data, link);
    int64_t steps = 2;
    const auto goes_on = [&](const std::string& data) {
        CAPTURE(data);
        const CommandResult result = succeed(pretrain_arguments(data, place.out, ++steps) + Arguments{"--json"});
        CHECK(contains(result.error, fmt::format("resumed after step {} ", steps - 1)));
    };
    goes_on(place.data.string() + "/");
    goes_on(link);
    goes_on(fs::relative(place.data));
    fs::rename(place.data, moved);
    goes_on(moved);
    goes_on(moved.string() + "/../moved caf\xe9//");
    CHECK(nlohmann::json::accept(
        succeed(pretrain_arguments(moved, place.folder / "caf\xe9", 2) + Arguments{"--json"}).out));
}

TEST_CASE("a damaged checkpoint is refused; the older intact one that is offered goes on") {
    const Place place;
    const auto command = place.command(6, {"--set", "checkpoint.every=2"});
    succeed(place.command(4, {"--set", "checkpoint.every=2"}));
    const fs::path newest = place.checkpoint(4);
    const std::string model = read_text(newest / "model.safetensors");
    const std::string offer = "--resume " + place.checkpoint(2).string();
    flip_bit(newest / "model.safetensors", model.size() - 100);
    check_refused(command, 1, {"step 4 is damaged", "model.safetensors", "offset 0", "checksum", "expected", offer});
    write_text(newest / "model.safetensors", model.substr(0, model.size() - 5));
    check_refused(
        command, 1,
        {"model.safetensors", fmt::format("{} bytes expected, {} found", model.size(), model.size() - 5), offer});
    write_text(newest / "model.safetensors", model);
    flip_bit(newest / "trainer.safetensors", 200);
    check_refused(command, 1, {"trainer.safetensors", "checksum", offer});
    flip_bit(newest / "trainer.safetensors", 200);
    fs::remove(newest / "vocab.txt");
    check_refused(command, 1, {"vocab.txt: missing", offer});
    const CommandResult resumed = succeed(command + Arguments{"--resume", place.checkpoint(2).string()});
    CHECK(contains(resumed.error, "set aside: "));
    CHECK(fs::exists(place.out / "checkpoints" / "set-aside-step-00000004"));
    CHECK(damage(place.checkpoint(6)) == "");

    flip_bit(place.checkpoint(4) / "config.json", 5);
    flip_bit(place.checkpoint(6) / "config.json", 5);
    check_refused(place.command(8), 1, {"step 6 is damaged", "no older intact one"});
}

TEST_CASE("damaged data: the file, the place and the checksums; a run of that data keeps what it had") {
    const Place place;
    const fs::path shard = place.data / "train-00000.shard";
    const std::string intact = read_text(shard), vocabulary = read_text(place.data / "vocab.txt");
    truncate(shard, 9);
    check_refused(place.command(3), 1, {shard.string(), "bytes"});
    write_text(shard, intact);
    flip_bit(shard, 17);
    check_refused(place.command(3), 1, {shard.string(), "offset 0", "checksum", "expected"});
    write_text(shard, intact);
    write_text(place.data / "vocab.txt", vocabulary + "more\n");
    check_refused(place.command(3), 1, {"vocab.txt", "checksum", "not the vocabulary of this data"});
    write_text(place.data / "vocab.txt", vocabulary);
    fs::rename(place.data / "dataset.json", place.folder / "dataset.json");
    check_refused(place.command(3), 1, {"dataset.json"});
    fs::rename(place.folder / "dataset.json", place.data / "dataset.json");
    check_refused(pretrain_arguments(place.folder / "none", place.out, 3), 1, {"none"});
    check_refused({"pretrain", "bert-tiny", "--out", place.out.string()}, 1, {"--data"});
    CHECK(!fs::exists(place.out));

    succeed(place.command(2));
    flip_bit(shard, 5000);  // in the tokens: found when they are read
    check_refused(place.command(4), 1, {shard.string(), "offset", "checksum", "expected"});
    CHECK(damage(place.checkpoint(2)) == "");
    write_text(shard, intact);
    succeed(place.command(4));
}

TEST_CASE("vocabularies that BERT cannot use, and text that gives nothing to train on") {
    const Place place;
    const std::string text = (place.folder / "text.txt").string(), vocab = (place.folder / "vocab.txt").string();
    const fs::path data = place.folder / "new-data";
    const auto refused = [&](const std::string& vocabulary, std::initializer_list<std::string> parts) {
        write_text(vocab, vocabulary);
        check_refused({"prepare", "--quiet", "--text", text, "--out", data.string(), "--vocab", vocab}, 1, parts);
        CHECK(!fs::exists(data));
    };
    refused("[PAD]\n[UNK]\n[CLS]\n[SEP]\nba\n", {vocab, "no [MASK]"});
    refused("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nba\nne\nba\n", {vocab + ", line 8", "duplicate of line 6"});
    write_text(place.folder / "empty.txt", "\n\n");
    check_refused({"prepare", "--quiet", "--text", (place.folder / "empty.txt").string(), "--out", data.string(),
                   "--vocab", (place.data / "vocab.txt").string()},
                  1, {"not one token"});
    write_text(place.folder / "short.txt", "bane");
    succeed({"prepare", "--quiet", "--text", (place.folder / "short.txt").string(), "--out", data.string(), "--vocab",
             (place.data / "vocab.txt").string(), "--validation-fraction", "0"});
    check_refused(pretrain_arguments(data, place.out, 3), 1, {data.string(), "less than one sequence of 32 tokens"});
    CHECK(!fs::exists(place.out));
}

TEST_CASE("a loss that is not finite: the run stops, names the step, and keeps the last checkpoint") {
    const Place place;
    succeed(place.command(2));
    const fs::path poisoned = place.folder / "poisoned", other = place.folder / "other";
    fs::copy(place.checkpoint(2), poisoned);
    const std::string tensor = "bert.encoder.layer.1.output.dense.weight";
    poison(poisoned, tensor);
    check_refused(pretrain_arguments(place.data, other, 4) + Arguments{"--init", poisoned.string()}, 1,
                  {"step 1: the loss is ", "nan", "has no checkpoint"});
    CHECK(list_checkpoints(other).empty());

    poison(place.checkpoint(2), tensor);
    const auto before = files_below(place.checkpoint(2));
    check_refused(place.command(4), 1, {"step 3: the loss is ", "nan", place.checkpoint(2).string()});
    CHECK(list_checkpoints(place.out).size() == 1);
    CHECK(files_below(place.checkpoint(2)) == before);
}

TEST_CASE("an interrupted run prints the command that goes on, and it does") {
    const Place place;
    const fs::path out = place.folder / "it's a run";
    Command command(pretrain_arguments(place.data, out, 2'000'000) + Arguments{"--set", "log.every=1"});
    while (!fs::exists(out / "metrics.jsonl") || fs::file_size(out / "metrics.jsonl") == 0) usleep(2000);
    command.kill(SIGTERM);
    const CommandResult result = command.wait();
    CHECK(result.exit_code == 128 + SIGTERM);
    CHECK(!contains(result.error, "error"));
    const auto checkpoints = list_checkpoints(out);
    REQUIRE(checkpoints.size() == 1);
    CHECK(contains(result.error, fmt::format("interrupted after step {}; ", checkpoints[0].step)));
    const size_t at = result.error.find("go on with: ");
    REQUIRE(at != std::string::npos);
    std::string line = result.error.substr(at + 12, result.error.find('\n', at) - at - 12);
    CHECK(contains(line, "/it'\\''s a run' "));  // quoted for the shell
    CHECK(line.ends_with(" --resume auto"));
    const std::string steps = "2000000";
    line.replace(line.find(steps), steps.size(), std::to_string(checkpoints[0].step + 1));
    const std::string again = fmt::format("{} >'{}' 2>&1", line, (place.folder / "log").string());
    CHECK(std::system(again.c_str()) == 0);
    CHECK(contains(read_text(place.folder / "log"), fmt::format("resumed after step {} ", checkpoints[0].step)));
}

TEST_CASE("a loss that stands is said once in a run, also when it was killed and goes on") {
    const Place place;
    const auto error_of = [&](int64_t steps) {
        return succeed(place.command(steps, {"--set", "train.lr=1e-9", "--set", "log.every=50", "--set", "eval.every=0",
                                             "--set", "checkpoint.every=200"}))
            .error;
    };
    const std::string said = "note: the loss has stood at ";
    CHECK(contains(error_of(300), said));
    CHECK(read_text(place.out / "plateau.txt").starts_with("the loss has stood at "));
    fs::remove_all(place.checkpoint(300));  // as if killed between what was said and the next checkpoint
    const std::string later = error_of(700);
    CHECK(contains(later, "resumed after step 200"));
    CHECK(!contains(later, said));
    fs::remove(place.out / "plateau.txt");
    CHECK(contains(error_of(1100), said));
}

TEST_CASE("a run that learns nothing says so once, with what the data rules out; one that learns does not") {
    const Place place;
    const auto notes = [&](const fs::path& data, const Arguments& more) {
        const CommandResult result = succeed(pretrain_arguments(data, place.out, 300) + more +
                                             Arguments{"--set", "log.every=50", "--set", "eval.every=0"});
        fs::remove_all(place.out);
        return result.error;
    };
    const std::string said = notes(place.data, {"--set", "train.lr=1e-9"});
    const size_t at = said.find("note: the loss has stood at ");
    REQUIRE(at != std::string::npos);
    CHECK(said.find("has stood at", at + 20) == std::string::npos);
    CHECK(contains(said, "likely causes: "));
    CHECK(contains(said, "the rate (train.lr = 1e-09"));
    CHECK(said.find("unknown tokens (0.0 % are [UNK])") > said.find("ruled out: "));
    std::string counting;  // each word tells the next
    for (int i = 0; i < 4000; ++i) counting += fmt::format("{}{}", "abcdefghij"[i % 10], i % 500 == 499 ? "\n\n" : " ");
    write_text(place.folder / "counting.txt", counting);
    const fs::path data = place.folder / "counting";
    succeed({"prepare", "--quiet", "--text", (place.folder / "counting.txt").string(), "--out", data.string(),
             "--train-vocab", "15", "--validation-fraction", "0.1"});
    CHECK(!contains(notes(data, {"--set", "train.lr=1e-2", "--set", "train.batch=16"}), "has stood at"));
}
