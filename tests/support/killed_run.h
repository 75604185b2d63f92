// Fine-tuning runs that are killed at random moments and resumed, beside the same run without.
#pragma once

#include <map>
#include <regex>
#include <string>

#include "model/run/folder.h"
#include "tests/support/golden_run.h"

namespace dropforge::test {

/// Waits until the condition holds, so that slow and fast machines kill alike; at most half a minute.
template <typename Condition>
void wait_until(const Condition& condition) {
    for (int i = 0; i < 30'000 && !condition(); ++i) usleep(1000);
}

/// The last step that any seed of a run would resume from; of a later seed those of all before count too.
inline int64_t checkpointed_steps(const fs::path& out) {
    int64_t steps = 0;
    const auto add = [&](const fs::path& run) {
        if (const auto all = list_checkpoints(run); !all.empty()) steps += all.back().step;
    };
    add(out);
    for (int seed = 1; seed <= 2; ++seed) add(out / fmt::format("seed-{}", seed));
    return steps;
}

/// Path → content of all that a run leaves, without what the clock decides, and without the lines of metrics.jsonl of
/// steps that were done again.
inline std::map<std::string, std::string> left_by(const fs::path& out) {
    static const std::regex kClock(R"re("(time|examples_per_second)": ?[-+.eE0-9]+)re");
    std::map<std::string, std::string> files;
    for (const auto& [path, text] : files_below(out)) {
        if (fs::path(path).filename() == "set-aside-metrics.jsonl") continue;
        const bool json = path.ends_with(".json") || path.ends_with(".jsonl");
        files[fs::relative(path, out).string()] = json ? std::regex_replace(text, kClock, "\"$1\":0") : text;
    }
    return files;
}

struct KilledRun {
    uint64_t seed;  // of the moments
    int kills;
    int64_t epochs;
    Arguments more = {};
};

/// Checks that a run of the case `single` with dropout, shuffled, in micro-batches, is the same with kills: a third
/// while it starts, the others some steps on.
inline void check_killed(const KilledRun& trial) {
    const TemporaryFolder folder;
    const GoldenRun golden("single", "main");
    Arguments settings = trial.more + Arguments{"--quiet"};
    for (const char* setting :
         {"data.shuffle=true", "model.dropout=0.1", "model.attention_dropout=0.1", "model.classifier_dropout=0.1",
          "train.micro_batch=3", "eval.keep=best", "log.examples=true", "log.every=4"})
        settings = settings + Arguments{"--set", setting};
    settings = settings + Arguments{"--set", fmt::format("train.epochs={}", trial.epochs)};
    succeed(golden.command(folder / "reference", settings));
    const fs::path out = folder / "run";
    PhiloxStream random(trial.seed, 0);
    const int64_t all = 6 * trial.epochs;  // steps
    int killed = 0;
    for (int i = 0; i < trial.kills; ++i) {
        Command process(golden.command(out, settings));
        const int64_t step = checkpointed_steps(out) + 1 + random.below(static_cast<uint32_t>(all / trial.kills));
        if (i % 3 != 2) wait_until([&] { return checkpointed_steps(out) >= step || fs::exists(out / "result.json"); });
        usleep(random.below(i % 3 == 2 ? 200'000 : 20'000));
        process.kill(SIGKILL);
        const int code = process.wait().exit_code;
        REQUIRE((code == 128 + SIGKILL || code == 0));
        if (code == 0) break;
        CHECK(!fs::exists(out / "result.json"));
        ++killed;
    }
    CHECK(killed > 0);
    if (!fs::exists(out / "result.json")) succeed(golden.command(out, settings));
    const auto left = left_by(out), expected = left_by(folder / "reference");
    for (const auto& entry : left) CHECK_MESSAGE(expected.contains(entry.first), entry.first << " is left over");
    for (const auto& entry : expected) {
        const bool same = left.contains(entry.first) && left.at(entry.first) == entry.second;
        CHECK_MESSAGE(same, entry.first);
    }
}

/// Starts a run and kills it when it has a checkpoint.
inline void stop_after_first_checkpoint(const Arguments& command, const fs::path& out) {
    Command process(command);
    wait_until([&] { return checkpointed_steps(out) > 0; });
    process.kill(SIGKILL);
    REQUIRE(process.wait().exit_code == 128 + SIGKILL);
}

}  // namespace dropforge::test
