// A run of an older revision, whose checkpoint holds the sums of an interval as bytes without names, is opened and goes
// on as it would have there.
#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/pretrain_fixture.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

const fs::path kOld = fs::path(kTestData) / "old_run";

nlohmann::ordered_json expected() { return nlohmann::ordered_json::parse(read_text(kOld / "expected.json")); }

}  // namespace

TEST_CASE(
    "an older checkpoint of ScTD, saved within an interval: the next line of metrics.jsonl is the older revision's") {
    const TemporaryFolder folder;
    fs::copy(kOld, folder.path(), fs::copy_options::recursive);
    const fs::path run = folder / "run";
    const CommandResult result = run_command({"pretrain", (run / "config.toml").string(), "--data",
                                              (folder / "data").string(), "--out", run.string(), "--steps", "10"});
    REQUIRE_MESSAGE(result.exit_code == 0, result.error);
    CHECK(contains(result.error, "resumed after step 7"));
    const auto lines = metrics_lines(run);
    REQUIRE(lines.size() == 2);
    const auto want = expected();
    for (const char* key : {"step", "tokens", "mlm_accuracy", "kept_fraction", "lambda"})
        CHECK(lines[1][key] == want[key]);
    // Other levels of instruction sets round otherwise; three updates of at most 1e-4 do not amplify it.
    for (const char* key : {"loss", "mlm_loss_full", "grad_norm", "lr"}) {
        CAPTURE(key);
        CHECK(std::abs(lines[1][key].get<double>() / want[key].get<double>() - 1) <= 1e-5);
    }
}

TEST_CASE("inspect shows an older checkpoint whole, with its importance table") {
    const CommandResult result = run_command({"inspect", (kOld / "run/checkpoints/step-00000007").string()});
    REQUIRE_MESSAGE(result.exit_code == 0, result.error);
    CHECK(contains(result.out, "every file is as the manifest says"));
    CHECK(contains(result.out, "kept first  "));
}
