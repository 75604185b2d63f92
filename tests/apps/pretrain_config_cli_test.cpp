// The command `dropforge pretrain`: what its options and its configuration may say, and how it refuses the rest.
#include <doctest/doctest.h>

#include "model/checkpoint/manifest.h"
#include "model/config/config.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

TEST_CASE("an option that stands for a key contradicts --set of that key: wrong usage, both are named") {
    const Place place;
    check_refused(place.command(5, {"--set", "train.steps=6"}), 2, {"--steps 5", "--set train.steps=6"});
    check_refused(place.command(5, {"--batch", "8"}), 2, {"--batch 8", "--set train.batch=4"});
    check_refused(place.command(5, {"--set", "data.path=/elsewhere"}), 2, {"--data ", "--set data.path=/elsewhere"});
    check_refused(place.command(5, {"--method", "sctd", "--set", "train.method=dense"}), 2,
                  {"--method sctd", "--set train.method=dense"});
    CHECK(!fs::exists(place.out));
    succeed(place.command(2, {"--dry-run", "--set", "train.steps=2"}));  // the same twice
    check_refused(place.command(5, {"--seed", "-1"}), 1, {"--seed: train.seed: expected an integer in [0, "});
}

TEST_CASE("a configuration that is wrong: key, expected, got, and where it was given") {
    const Place place;
    const auto refused = [&](const std::string& setting, std::initializer_list<std::string> parts) {
        check_refused(place.command(5, {"--set", setting}), 1, parts);
    };
    refused("train.lrr=1", {"--set", "train.lrr", "the nearest is train.lr"});
    refused("sequence=5", {"the nearest is data.sequence"});
    refused("train.lr", {"table.key=value"});
    refused("train.lr=fast", {"train.lr", "a number > 0", "\"fast\""});
    refused("train.batch=2.5", {"train.batch", "an integer", "2.5"});
    refused("train.batch=0", {"train.batch", "[1, "});
    refused("model.dropout=1", {"model.dropout", "[0, 0.9999"});
    refused("model.heads=3", {"hidden (32)", "heads (3)"});
    refused("data.sequence=65", {"data.sequence", "65", "model.max_positions", "64"});
    refused("data.max_predictions=31", {"data.max_predictions", "31", "30"});
    refused("train.micro_batch=3", {"train.batch", "multiple", "train.micro_batch"});
    refused("train.optimizer=sgd", {"\"adamw\", \"lamb\"", "sgd"});
    check_refused(place.command(5, {"--precision", "f8"}), 1, {"train.precision", "f8"});
    const std::string file = (place.folder / "run.toml").string();
    write_text(file, "[train]\nbatch = 4\nbacth = 5\n");
    check_refused({"pretrain", file, "--data", place.data.string(), "--out", place.out.string()}, 1,
                  {file + ":3", "train.bacth", "train.batch"});
    write_text(file, "[train\n");
    check_refused({"pretrain", file, "--data", place.data.string(), "--out", place.out.string()}, 1, {file + ":1"});
    check_refused({"pretrain", "bert-huge", "--data", place.data.string(), "--out", place.out.string()}, 1,
                  {"bert-huge", "bert-tiny"});
    CHECK(!fs::exists(place.out));
}

TEST_CASE("methods that drop tokens: what they refuse names the key and what is allowed") {
    const Place place;
    const auto refused = [&](const Arguments& settings, std::initializer_list<std::string> parts) {
        Arguments command = place.command(5, {"--method", "sctd"});
        for (const std::string& setting : settings) command = command + Arguments{"--set", setting};
        check_refused(command, 1, parts);
    };
    const std::string keep_range = "a share, a float in (0, 1], or a count, an integer in [2, 65536]";
    refused({"dropping.keep=1"}, {"dropping.keep", keep_range, "got 1\n"});
    refused({"dropping.keep=64.5"}, {"dropping.keep", keep_range, "got 64.5\n"});
    refused({"model.layers=4", "dropping.keep=33"}, {"dropping.keep (--set) is 33", "2 … 32"});
    refused({"model.layers=4", "dropping.keep=0.06"},
            {"dropping.keep (--set) is 0.06, which is 1 of the 32", "2 … 32"});
    refused({}, {"model.layers is 2", "train.method (--method) = \"sctd\"", "an even number of layers, at least 4"});
    refused({"model.layers=5"}, {"model.layers (--set) is 5", "an even number of layers, at least 4"});
    refused({"sctd.lambda=-0.05"}, {"sctd.lambda", "a number ≥ 0", "got -0.05\n"});
    refused({"sctd.interval=0"}, {"sctd.interval", "an integer in [1, ", "got 0\n"});
    refused({"dropping.importance_beta=1"}, {"dropping.importance_beta", "[0, 1)", "got 1\n"});
    refused({"dropping.routing=best"}, {"\"importance\", \"random\", \"frequency\"", "best"});
    refused({"model.layers=4", "dropping.start_step=6"},
            {"dropping.start_step (--set) is 6", "train.steps (--steps) = 5"});
    check_refused(place.command(5, {"--method", "sparse"}), 1,
                  {"--method: train.method", "\"token_dropping\"", "sparse"});
    CHECK(!fs::exists(place.out));
}

TEST_CASE("what --precision auto came to is recorded, and kept where auto would be something else") {
    const Place place;
    const auto run = [&](const fs::path& out, int64_t steps, const Arguments& more) {
        return pretrain_arguments(place.data, out, steps) + more;
    };
    const auto recorded = [](const fs::path& out) {
        return RunConfig::load((out / "config.toml").string()).train.precision;
    };
    succeed(run(place.out, 2, {"--precision", "auto"}));
    const bool bf16 = recorded(place.out) == Precision::bf16;
    CHECK(recorded(place.out) == (bf16 ? Precision::bf16 : Precision::f32));
    const std::string own = bf16 ? "bf16" : "f32", other = bf16 ? "f32" : "bf16";
    succeed(run(place.out, 3, {"--precision", own}));  // what it has, given
    check_refused(run(place.out, 4, {"--precision", other}), 1,
                  {fmt::format("train.precision is \"{}\" there and \"{}\" here", own, other)});
    CHECK_FALSE(contains(succeed(run(place.out, 4, {"--precision", "auto"})).error, "the run goes on in"));

    // A run that began where auto is something else.
    const fs::path from_elsewhere = place.folder / "from-elsewhere";
    succeed(run(from_elsewhere, 2, {"--precision", other}));
    const CommandResult resumed = succeed(run(from_elsewhere, 3, {"--precision", "auto"}));
    CHECK(contains(resumed.error, fmt::format("the run goes on in {}, as it began; auto would be {}: ", other, own)));
    CHECK(contains(resumed.error, other + ", as the run began"));
    CHECK(recorded(from_elsewhere) == (bf16 ? Precision::f32 : Precision::bf16));
    const fs::path copy = place.folder / "copy";  // from its checkpoint into a folder of its own
    succeed(run(copy, 4, {"--resume", (from_elsewhere / "checkpoints" / "step-00000003").string()}));
    CHECK(recorded(copy) == recorded(from_elsewhere));
    check_refused(run(from_elsewhere, 4, {"--precision", own}), 1,
                  {fmt::format("train.precision is \"{}\" there and \"{}\" here", other, own)});
}

TEST_CASE("more steps: the warm-up that followed from the first number of steps stays") {
    const Place place;
    const auto run = [&](const fs::path& out, const char* steps, const Arguments& more = {}) {
        Arguments command = {"pretrain", "bert-tiny",  "--data",  place.data.string(),
                             "--out",    out.string(), "--steps", steps};
        for (const char* setting :
             {"model.hidden=32", "model.max_positions=64", "data.sequence=32", "train.batch=4", "checkpoint.every=10"})
            command = command + Arguments{"--set", setting};
        return command + more;
    };
    const auto has_warmup = [](const fs::path& out, const char* line) {
        return contains(read_text(out / "config.toml"), std::string("\nwarmup_steps = ") + line + "\n");
    };
    succeed(run(place.out, "20"));
    CHECK(has_warmup(place.out, "2"));  // a tenth
    succeed(run(place.out, "40"));
    CHECK(has_warmup(place.out, "2"));
    CHECK(damage(place.checkpoint(40)) == "");
    succeed(run(place.out, "50", {"--set", "train.warmup_steps=2"}));  // what it has, given
    const auto before = files_below(place.out);
    check_refused(run(place.out, "60", {"--set", "train.warmup_steps=6"}), 1,
                  {"train.warmup_steps is 2 there and 6 here"});
    check_refused(run(place.out, "1"), 1,
                  {"train.warmup_steps (" + place.out.string() + ") is 2", "train.steps (--steps) = 1"});
    CHECK(files_below(place.out) == before);

    // From its checkpoint into a folder of its own.
    const fs::path other = place.folder / "other";
    succeed(run(other, "60", {"--resume", place.checkpoint(40).string()}));
    CHECK(has_warmup(other, "2"));
    succeed(run(place.folder / "fresh", "60", {"--resume", "off"}));
    CHECK(has_warmup(place.folder / "fresh", "6"));
}
