// A run of an older revision, whose checkpoint holds the sums of an interval as bytes without names, is opened and goes
// on as it would have there.
#include <doctest/doctest.h>

#include <cmath>

#include "model/checkpoint/manifest.h"
#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

const fs::path kOld = fs::path(kTestData) / "old_run";

/// The run in a folder of its own.
struct OldRun {
    TemporaryFolder folder;
    fs::path run = folder / "run";

    OldRun() { fs::copy(kOld, folder.path(), fs::copy_options::recursive); }
    fs::path checkpoint(int step) const { return run / "checkpoints" / fmt::format("step-{:08}", step); }
    Arguments continued() const {
        return {"pretrain", (run / "config.toml").string(),
                "--data",   (folder / "data").string(),
                "--out",    run.string(),
                "--steps",  "10"};
    }
    /// Puts other text of as many bytes into the trainer file of that step, under a manifest that is right.
    void exchange(int step, const std::string& from, const std::string& to) const {
        const fs::path file = checkpoint(step) / "trainer.safetensors";
        std::string bytes = read_text(file);
        const size_t place = bytes.find(from);
        REQUIRE(place != std::string::npos);
        REQUIRE(from.size() == to.size());
        write_text(file, bytes.replace(place, from.size(), to));
        fs::remove(checkpoint(step) / "manifest.json");
        write_manifest(checkpoint(step));
    }
};

nlohmann::ordered_json expected() { return nlohmann::ordered_json::parse(read_text(kOld / "expected.json")); }

}  // namespace

TEST_CASE(
    "an older checkpoint of ScTD, saved within an interval: the next line of metrics.jsonl is the older revision's") {
    const OldRun old;
    CHECK(contains(succeed(old.continued()).error, "resumed after step 7"));
    const auto lines = metrics_lines(old.run);
    REQUIRE(lines.size() == 2);
    const auto want = expected();
    for (const char* key : {"step", "tokens", "mlm_accuracy", "lr", "kept_fraction", "lambda"})
        CHECK(lines[1][key] == want[key]);
    // Other levels of instruction sets round otherwise, by 2^-24 each time: some 20 values one after another in each of
    // four layers, as many in embeddings and head. Sums that were lost would differ in the third digit.
    for (const char* key : {"loss", "mlm_loss_full", "grad_norm"}) {
        CAPTURE(std::string(key));
        CHECK(std::abs(lines[1][key].get<double>() / want[key].get<double>() - 1) <= (4 * 20 + 20) * 0x1p-24);
    }
}

TEST_CASE("a trainer file of a format that is not known, or with a sum that is no number, is refused by that") {
    const OldRun unknown;
    unknown.exchange(7, R"("format_version":"2")", R"("format_version":"4")");
    check_refused(unknown.continued(), 1,
                  {"trainer.safetensors", "a trainer file of format 4, this version reads 2 and 3"});

    const OldRun bad;
    succeed(bad.continued() + Arguments{"--set", "checkpoint.every=8"});
    fs::remove_all(bad.checkpoint(10));  // that of step 8 is of format 3, and within an interval
    bad.exchange(8, "steps 3", "steps x");
    check_refused(bad.continued(), 1, {"trainer.safetensors", "steps of the interval is \"x\", expected a number"});
}

TEST_CASE("inspect shows an older checkpoint whole, with its importance table") {
    const CommandResult result = succeed({"inspect", (kOld / "run/checkpoints/step-00000007").string()});
    CHECK(contains(result.out, "every file is as the manifest says"));
    CHECK(contains(result.out, "kept first  "));
}
