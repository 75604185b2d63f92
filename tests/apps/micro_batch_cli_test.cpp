// `dropforge pretrain` where train.micro_batch is automatic, under limits of memory as a shell sets them.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "devices/device.h"
#include "model/config/config.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // sanitizers take terabytes of memory for themselves
#else
constexpr bool kSanitized = false;
#endif
constexpr int64_t kBatch = 2048;

/// Memory for the program with its threads and their stacks, and for a part of the activations: all are some 150 MB.
uint64_t limit() { return static_cast<uint64_t>(2 * cpu_device().reserve) + 60'000'000; }

Arguments command(const Place& place, const fs::path& out, const Arguments& more = {}) {
    return pretrain_arguments(place.data, out, 4) + Arguments{"--precision", "f32",
                                                              "--set",       "checkpoint.every=2",
                                                              "--set",       "log.every=1",
                                                              "--set",       "eval.sequences=8",
                                                              "--set",       fmt::format("train.batch={}", kBatch)} +
           more;
}
const Arguments kAutomatic{"--set", "train.micro_batch=0"};

int64_t recorded_micro_batch(const fs::path& run) {
    return RunConfig::from_toml(read_text(run / "config.toml"), "config.toml").train.micro_batch;
}

std::vector<double> losses(const fs::path& run) {
    std::istringstream lines(read_text(run / "metrics.jsonl"));
    std::vector<double> losses;
    for (std::string line; std::getline(lines, line);)
        if (const auto json = nlohmann::json::parse(line); json.contains("grad_norm")) losses.push_back(json["loss"]);
    return losses;
}

}  // namespace

TEST_CASE("a limit: as many sequences at a time as fit, recorded, kept without the limit, with the same losses") {
    if (kSanitized) return;
    const Place place;
    const CommandResult limited = Command(command(place, place.out, kAutomatic), {.memory_bytes = limit()}).wait();
    REQUIRE_MESSAGE(limited.exit_code == 0, limited.error);
    CHECK(contains(limited.error, " at a time, as many as fit into memory;"));
    const int64_t chosen = recorded_micro_batch(place.out);
    CHECK(chosen >= 64);
    CHECK(chosen < kBatch);

    const Arguments larger{"--set", fmt::format("train.micro_batch={}", 2 * chosen)};
    const CommandResult refused =
        Command(command(place, place.folder / "refused", larger), {.memory_bytes = limit()}).wait();
    CHECK(refused.exit_code == 1);
    CHECK(contains(refused.error, fmt::format("train.micro_batch = {} fits, which 0 finds", chosen)));

    const fs::path last = place.out / "checkpoints/step-00000004";
    const std::string weights = read_text(last / "model.safetensors");
    fs::remove_all(last);
    succeed(command(place, place.out, kAutomatic));  // from step 2, in all the memory there is
    CHECK(recorded_micro_batch(place.out) == chosen);
    CHECK(read_text(last / "model.safetensors") == weights);

    succeed(command(place, place.folder / "free", kAutomatic));
    CHECK(recorded_micro_batch(place.folder / "free") == kBatch);
    const std::vector<double> parts = losses(place.out), full_batch = losses(place.folder / "free");
    REQUIRE(parts.size() == 4);
    REQUIRE(full_batch.size() == 4);
    // A batch's losses are the same, their f32 sums are added up in other parts: one rounding more for each doubling of
    // the parts, and no more than 11 of them make 2048 sequences.
    for (size_t i = 0; i < full_batch.size(); ++i)
        CHECK(parts[i] == doctest::Approx(full_batch[i]).epsilon(11 * 0x1p-24));
}
