// dropforge metrics: runs as a table, and what it refuses.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/support/cli_fixture.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// A run with these lines.
std::string write_run(const fs::path& run, const std::string& lines) {
    fs::create_directories(run);
    write_text(run / "metrics.jsonl", lines);
    return run.string();
}

std::string table_of(const Arguments& runs) {
    const CommandResult result = run_command(Arguments{"metrics"} + runs);
    CHECK(result.exit_code == 0);
    CHECK(result.error == "");
    return result.out;
}

}  // namespace

TEST_CASE("a run: a row a step, numbers as they are in the file, empty where there is none") {
    const TemporaryFolder folder;
    const std::string run = write_run(folder / "run",
                                      "{\"step\":2,\"time\":1700000000.25,\"loss\":0.30000000000000004,\"mfu\":null}\n"
                                      "{\"step\":2,\"time\":1700000001.5,\"eval_loss\":2.2250738585072014e-308}\n"
                                      "{\"step\":12,\"time\":1700000009.0,\"loss\":null,\"mfu\":0.5,\"note\":\"a,b\"}\n"
                                      "{\"step\":10,\"tokens\":9007199254740993,\"loss\":-1e+300}\n"
                                      "{\"step\":14,\"loss\":");
    const std::string table =
        "step,time,loss,mfu,eval_loss,tokens\n"
        "2,1700000001.5,0.30000000000000004,,2.2250738585072014e-308,\n"
        "10,,-1e+300,,,9007199254740993\n"
        "12,1700000009.0,,0.5,,\n";
    CHECK(table_of({run}) == table);
    CHECK(table_of({"a=" + run}) == table);

    const std::string out = (folder / "table.csv").string();
    CHECK(table_of({run, "--out", out}) == out + "  3 steps\n");
    CHECK(read_text(out) == table);
    const auto json = nlohmann::json::parse(table_of({run, "--json"}));
    REQUIRE(json.size() == 3);
    CHECK(json[0] ==
          nlohmann::json::parse(
              R"({"step":2,"time":1700000001.5,"loss":0.30000000000000004,"eval_loss":2.2250738585072014e-308})"));
    CHECK(json[2] == nlohmann::json::parse(R"({"step":12,"time":1700000009.0,"mfu":0.5})"));
}

TEST_CASE("several runs: their columns side by side under their names, which are quoted where CSV needs it") {
    const TemporaryFolder folder;
    const std::string a = write_run(folder / "a", "{\"step\":1,\"loss\":3.5}\n{\"step\":2,\"loss\":2.5}\n"),
                      b = write_run(folder / "b", "{\"step\":2,\"loss\":1.5,\"lr\":1}\n");
    CHECK(table_of({"dense=" + a, b}) == "step,dense - loss," + b + " - loss," + b + " - lr\n1,3.5,,\n2,2.5,1.5,1\n");
    CHECK(table_of({"\"x\", y=" + a, "z=" + b}) ==
          "step,\"\"\"x\"\", y - loss\",z - loss,z - lr\n1,3.5,,\n2,2.5,1.5,1\n");
}

TEST_CASE("what is no run, has no line, or has another's name is refused, and no file is written or replaced") {
    const TemporaryFolder folder;
    const std::string run = write_run(folder / "run", "{\"step\":1,\"loss\":3}\n"), none = (folder / "none").string(),
                      begun = write_run(folder / "begun", "{\"step\":1,\"lo"), out = (folder / "table.csv").string(),
                      wrong = write_run(folder / "wrong", "{\"step\":1}\n{\"step\":0}\n");
    const auto refused = [&](const Arguments& runs, const std::string& message) {
        const std::string line = check_refused(Arguments{"metrics", "--out", out} + runs, 1, {});
        CHECK(line == "error: " + message + "\n");
        CHECK(!fs::exists(out));
    };
    refused({run, none}, none + ": expected the folder of a run, with metrics.jsonl");
    refused({begun}, begun + "/metrics.jsonl: no line yet: log.every says how often a run writes one");
    refused({wrong}, wrong + "/metrics.jsonl:2: expected a JSON object with a step");
    refused({run, run}, "two runs are called " + run + ": LABEL=RUN gives one another name");
    refused({"a=" + run, "a=" + begun}, "two runs are called a: LABEL=RUN gives one another name");
    refused({"=" + run}, "expected RUN or LABEL=RUN, got =" + run);
    check_refused({"metrics"}, 2, {"runs is required"});

    const std::string metrics = run + "/metrics.jsonl", lines = read_text(metrics);
    CHECK(check_refused({"metrics", run, "--out", metrics}, 1, {}) == "error: " + metrics + ": is there already\n");
    CHECK(read_text(metrics) == lines);
    check_refused({"metrics", run, "--out", none + "/table.csv"}, 1,
                  {none + "/table.csv", "No such file or directory"});
}
