// `dropforge finetune --suite` and --grid, run as users run them.
#include "tests/support/golden_run.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

void write_lines(const fs::path& file, const std::string& header, const std::vector<std::string>& lines) {
    fs::create_directories(file.parent_path());
    std::string text = header + "\n";
    for (const std::string& line : lines) text += line + "\n";
    write_text(file, text);
}

/// A folder with SST-2, and RTE as JSON lines whose evaluated file has a label that the task has not.
fs::path suite_data(const fs::path& folder) {
    const std::vector<std::string> sentences = {"sajumu zuni\t1", "manu mira\t0", "netuhe\t1", "jaruge wovenu\t0"};
    write_lines(folder / "SST-2/train.tsv", "sentence\tlabel", sentences);
    write_lines(folder / "SST-2/dev.tsv", "sentence\tlabel", sentences);
    const std::string pair = R"({"premise": "sajumu", "hypothesis": "zuni", "label": "entailment"})";
    write_lines(folder / "rte/train.jsonl", pair, {pair});
    write_lines(folder / "rte/val.jsonl", pair, {R"({"premise": "manu", "hypothesis": "mira", "label": "maybe"})"});
    fs::create_directories(folder / "CoLA");  // without files: not there
    return folder;
}

}  // namespace

TEST_CASE(
    "--suite: every task that is there, one table; a task that fails does not hinder the others, and is retried") {
    const TemporaryFolder folder;
    const fs::path data = suite_data(folder / "data"), out = folder / "out";
    const fs::path model = GoldenRun("single", "main").folder();
    const Arguments command = {"finetune",    "--model", model.string(), "--suite", "glue",  "--data",
                               data.string(), "--out",   out.string(),   "--quiet", "--set", "train.epochs=1"};
    const CommandResult first = run_command(command);
    CHECK(first.exit_code == 1);
    CHECK(contains(first.error, "error: 1 of 2 tasks have no result: "));
    CHECK(contains(first.error, "val.jsonl:2: "));
    CHECK(contains(first.error, "maybe"));
    const Json suite = Json::parse(read_text(out / "suite.json"));
    REQUIRE(suite.at("tasks").size() == 2);
    CHECK(suite.at("tasks")[0].at("task") == "sst2");
    CHECK(suite.at("tasks")[0].at("main").is_number());
    CHECK(suite.at("tasks")[1].at("error").is_string());
    CHECK(suite.at("average").is_null());
    CHECK(!fs::exists(out / "cola"));

    const std::string done = read_text(out / "sst2/result.json");
    fs::copy_file(data / "rte/train.jsonl", data / "rte/val.jsonl", fs::copy_options::overwrite_existing);
    const CommandResult second = run_command(command + Arguments{"--json"});
    REQUIRE(second.exit_code == 0);
    CHECK(read_text(out / "sst2/result.json") == done);
    CHECK(second.out == read_text(out / "suite.json"));
    const Json all = Json::parse(second.out);
    CHECK(all.at("average").get<double>() ==
          (all.at("tasks")[0].at("main").get<double>() + all.at("tasks")[1].at("main").get<double>()) / 2);
}

TEST_CASE("--suite without a task in the folder, an unknown suite, and both a task and a suite are refused") {
    const TemporaryFolder folder;
    fs::create_directories(folder / "empty");
    const fs::path model = GoldenRun("single", "main").folder();
    const auto command = [&](const char* suite, const fs::path& data) {
        return Arguments{"finetune",    "--model", model.string(),           "--suite", suite, "--data",
                         data.string(), "--out",   (folder / "out").string()};
    };
    check_refused(command("glue", folder / "empty"), 1, {"no folder with train and dev files", "cola", "wnli"});
    check_refused(command("glu", folder / "empty"), 1, {"no suite named glu", "superglue"});
    check_refused(command("all", folder / "none"), 1, {"no such folder"});
    CHECK(run_command(command("glue", folder / "empty") + Arguments{"--task", "sst2"}).exit_code == 2);
    CHECK(!fs::exists(folder / "out"));
}

TEST_CASE("--grid: every point on a held-out part of the training file, then the best on the whole file") {
    const TemporaryFolder folder;
    const GoldenRun golden("single", "main");
    const Arguments settings = {"--quiet", "--precision", "f32", "--set", "train.epochs=2"};
    succeed(golden.command(folder / "grid", settings + Arguments{"--grid", "lr=1e-12,1e-3,batch=8"}));
    const Json result = Json::parse(read_text(folder / "grid/result.json"));
    const Json& grid = result.at("grid");
    REQUIRE(grid.size() == 2);
    CHECK(grid[0].at("settings") == "train.lr=1e-12 train.batch=8");
    CHECK(grid[1].at("settings") == "train.lr=1e-3 train.batch=8");
    const size_t best = grid[1].at("main").get<double>() > grid[0].at("main").get<double>() ? 1 : 0;
    CHECK(grid[best].at("chosen") == true);
    CHECK(grid[1 - best].at("chosen") == false);
    CHECK(!fs::exists(folder / "grid/grid"));
    // What is reported is the run of these settings without a grid.
    const std::string lr = best == 1 ? "train.lr=1e-3" : "train.lr=1e-12";
    succeed(golden.command(folder / "plain", settings + Arguments{"--set", lr}));
    CHECK(result.at("mean") == Json::parse(read_text(folder / "plain/result.json")).at("mean"));
    const bool same = read_text(folder / "grid/checkpoint/model.safetensors") ==
                      read_text(folder / "plain/checkpoint/model.safetensors");
    CHECK(same);
    check_refused(golden.command(folder / "bad", {"--grid", "lr=1e-5,lr=1e-4"}), 1, {"train.lr is there twice"});
    check_refused(golden.command(folder / "bad", {"--grid", "lerning_rate=1e-5"}), 1,
                  {"train.lerning_rate", "train.lr"});
    CHECK(!fs::exists(folder / "bad"));
}
