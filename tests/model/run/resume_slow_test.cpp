// A run that is killed or interrupted, and resumed, is the run that never was: the same metrics, the same last
// checkpoint, bit for bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/manifest.h"
#include "model/run/folder.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

constexpr int64_t kSteps = 100;

int64_t newest_step(const fs::path& run) {
    const auto all = list_checkpoints(run);
    return all.empty() ? 0 : all.back().step;
}

void check_same(const fs::path& run, const fs::path& reference) {
    CHECK(metrics_of(run) == metrics_of(reference));
    const auto last = list_checkpoints(run), expected = list_checkpoints(reference);
    REQUIRE(!last.empty());
    REQUIRE(last.back().step == expected.back().step);
    for (const char* file : {"model.safetensors", "trainer.safetensors", "config.json", "vocab.txt"}) {
        const bool same = read_text(last.back().path / file) == read_text(expected.back().path / file);
        CHECK_MESSAGE(same, file);
    }
}

/// Micro-batches and dropout (pretrain_arguments), evaluations, log intervals that are no divisor of anything.
Arguments settings(const std::string& precision, const std::string& checkpoint_every) {
    return {"--quiet",
            "--precision",
            precision,
            "--set",
            "log.every=7",
            "--set",
            "eval.every=20",
            "--set",
            "eval.sequences=32",
            "--set",
            "checkpoint.every=" + checkpoint_every};
}

void complete(const Arguments& command) {
    const CommandResult result = run_command(command);
    REQUIRE_MESSAGE(result.exit_code == 0, result.error);
}

/// Waits until the condition holds, so that slow and fast machines kill alike; at most half a minute.
template <typename Condition>
void wait_until(const Condition& condition) {
    for (int i = 0; i < 30'000 && !condition(); ++i) usleep(1000);
}

struct Kills {
    int all = 0, inside_a_checkpoint = 0;
};

/// What a run is to go through.
struct Trial {
    std::string precision;
    uint64_t seed;  // of the moments
    int64_t steps;
    int moments;
    Arguments more = {};  // settings
};

/// Runs `command` to its end with SIGKILLs at random moments: a third while it starts, the others some steps on.
Kills run_with_kills(const Arguments& command, const fs::path& run, const Trial& trial) {
    PhiloxStream random(trial.seed, 0);
    const auto far = static_cast<uint32_t>(trial.steps * 4 / (3 * trial.moments));
    Kills kills;
    for (int i = 0; i < trial.moments; ++i) {
        Command process(command);
        const int64_t step = std::min(newest_step(run) + 1 + random.below(far), trial.steps);
        if (i % 3 != 0) wait_until([&] { return newest_step(run) >= step; });
        usleep(random.below(i % 3 == 0 ? 200'000 : 10'000));
        process.kill(SIGKILL);
        const CommandResult result = process.wait();
        REQUIRE((result.exit_code == 128 + SIGKILL || result.exit_code == 0));
        kills.all += result.exit_code == 0 ? 0 : 1;
        if (fs::exists(run / "checkpoints"))
            for (const auto& entry : fs::directory_iterator(run / "checkpoints"))
                kills.inside_a_checkpoint += entry.path().filename().string().starts_with(".step-") ? 1 : 0;
    }
    complete(command);
    return kills;
}

/// Checks that a run with kills is one without.
Kills check_killed_runs(const fs::path& folder, const Trial& trial) {
    const fs::path data = prepare_data(folder), reference = folder / "reference", run = folder / "run";
    const Arguments same = settings(trial.precision, "1") + trial.more;
    complete(pretrain_arguments(data, reference, trial.steps) + same);
    const Kills kills = run_with_kills(pretrain_arguments(data, run, trial.steps) + same, run, trial);
    MESSAGE(trial.precision << ": " << kills.all << " kills, " << kills.inside_a_checkpoint << " inside a checkpoint");
    CHECK(kills.all >= trial.moments * 3 / 4);  // the others came when the run was done
    check_same(run, reference);
    return kills;
}

/// Align steps every third step, log lines every second: with and without an align step, and it in each place.
Arguments sctd_settings() {
    Arguments sctd = {"--method", "sctd"};
    for (const char* setting : {"model.layers=4", "sctd.interval=3", "log.every=2", "dropping.importance_beta=0.5",
                                "dropping.start_step=7", "sctd.lambda=0.1", "sctd.lambda_end=1.0"})
        sctd = sctd + Arguments{"--set", setting};
    return sctd;
}

void check_killed_sctd(const std::string& precision, uint64_t seed) {
    const TemporaryFolder folder;
    check_killed_runs(folder.path(), {precision, seed, 45, 9, sctd_settings()});
    int64_t with = 0, without = 0;
    for (const auto& line : metrics_lines(folder / "run")) {
        if (!line.contains("loss")) continue;  // an evaluation
        (line.contains("kl_local") ? with : without) += 1;
    }
    CHECK(with >= 10);
    CHECK(without >= 5);
    // The table has learned.
    const auto table = load_method_states(list_checkpoints(folder / "run").back().path).at("importance");
    CHECK(std::ranges::count_if(table, [](float v) { return v > 0 && v < 8; }) > 10);
}

}  // namespace

TEST_CASE("SIGKILL at 20 random moments, also inside a checkpoint's writing: f32") {
    const TemporaryFolder folder;
    CHECK(check_killed_runs(folder.path(), {"f32", 1, kSteps, 20}).inside_a_checkpoint >= 1);
}
TEST_CASE("SIGKILL at 20 random moments, also inside a checkpoint's writing: bf16") {
    const TemporaryFolder folder;
    CHECK(check_killed_runs(folder.path(), {"bf16", 2, kSteps, 20}).inside_a_checkpoint >= 1);
}
TEST_CASE("SIGKILL across align steps and with an importance table: f32") { check_killed_sctd("f32", 4); }
TEST_CASE("SIGKILL across align steps and with an importance table: bf16") { check_killed_sctd("bf16", 5); }

TEST_CASE("SIGINT and SIGTERM: the step is finished, a checkpoint written, the exit code tells the signal") {
    const TemporaryFolder folder;
    const fs::path data = prepare_data(folder.path()), reference = folder / "reference", run = folder / "run";
    // Steps long enough for a signal to fall into the middle of the run.
    const Arguments larger = settings("auto", "0") + Arguments{"--set", "train.batch=32"};
    complete(pretrain_arguments(data, reference, kSteps) + larger);
    PhiloxStream random(3, 0);
    int interrupted = 0;
    for (int i = 0; i < 6; ++i) {
        const int signal = i % 2 == 0 ? SIGINT : SIGTERM;
        const int64_t before = newest_step(run);
        Command process(pretrain_arguments(data, run, kSteps) + larger);
        const auto logged = [&] {
            std::error_code absent;
            const auto bytes = fs::file_size(run / "metrics.jsonl", absent);
            return absent ? uintmax_t{0} : bytes;
        };
        const uintmax_t had = logged();
        wait_until([&] { return logged() > had || newest_step(run) == kSteps; });  // past the start, where no step is
        usleep(random.below(20'000));
        process.kill(signal);
        const CommandResult result = process.wait();
        if (result.exit_code == 0) break;
        ++interrupted;
        CHECK(result.exit_code == 128 + signal);
        CHECK(newest_step(run) > before);
        CHECK(result.out == "");
        CHECK(!contains(result.error, "error"));
    }
    CHECK(interrupted >= 2);
    complete(pretrain_arguments(data, run, kSteps) + larger);
    check_same(run, reference);
}

TEST_CASE("one thread and two: the same bits") {
    const TemporaryFolder folder;
    const fs::path data = prepare_data(folder.path());
    for (const char* precision : {"f32", "bf16"})
        for (const Arguments& method : {Arguments{}, sctd_settings()}) {
            CAPTURE(precision);
            CAPTURE(method.size());
            const std::string name = std::string(precision) + (method.empty() ? "-dense" : "-sctd");
            const fs::path one = folder / ("one-" + name), two = folder / ("two-" + name);
            const Arguments same = settings(precision, "0") + method;
            complete(pretrain_arguments(data, one, 20) + same + Arguments{"--threads", "1"});
            complete(pretrain_arguments(data, two, 20) + same + Arguments{"--threads", "2"});
            check_same(two, one);
        }
}

TEST_CASE("a run far into its data goes on at once, with the same steps as one resumed at the same place") {
    const TemporaryFolder folder;
    const fs::path data = prepare_data(folder.path()), run = folder / "run";
    // A learning rate that does not depend on the number of steps, which differs here.
    const Arguments options = settings("f32", "0") + Arguments{"--set", "train.schedule=constant"};
    complete(pretrain_arguments(data, run, 2) + options);
    // Its checkpoint as that of step 1 000 000: the position is the step.
    const fs::path checkpoint = run / "checkpoints/step-01000000";
    fs::rename(run / "checkpoints/step-00000002", checkpoint);
    const std::string file = read_text(checkpoint / "trainer.safetensors");
    uint64_t size = 0;
    std::memcpy(&size, file.data(), sizeof(size));
    auto header = nlohmann::ordered_json::parse(file.substr(sizeof(size), size));
    header["__metadata__"]["step"] = "1000000";
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t new_size = text.size();
    write_text(checkpoint / "trainer.safetensors",
               std::string(reinterpret_cast<const char*>(&new_size), sizeof(new_size)) + text +
                   file.substr(sizeof(size) + size));
    fs::remove(checkpoint / "manifest.json");
    write_manifest(checkpoint);
    fs::copy(run, folder / "copy", fs::copy_options::recursive);

    const auto begin = std::chrono::steady_clock::now();
    complete(pretrain_arguments(data, run, 1'000'001) + options);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    MESSAGE("from the start of the process to the end of step 1000001 and its checkpoint: " << seconds << " s");
    CHECK(newest_step(run) == 1'000'001);
    complete(pretrain_arguments(data, folder / "copy", 1'000'003) + options);
    complete(pretrain_arguments(data, run, 1'000'003) + options);
    CHECK(contains(metrics_of(run), "\"step\":1000003,\"tokens\":128000384"));
    CHECK(read_text(run / "checkpoints/step-01000003/model.safetensors") ==
          read_text(folder / "copy/checkpoints/step-01000003/model.safetensors"));
}
