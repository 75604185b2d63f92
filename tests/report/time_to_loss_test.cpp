// How a report compares runs: from their metrics, their configurations, and a loss that both reach.
#include "report/time_to_loss.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "report/configurations.h"
#include "report/op_times.h"
#include "report/run_metrics.h"
#include "report/sections.h"
#include "tests/support/message_of.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using namespace dropforge::report;
using namespace dropforge::test;

namespace {

/// A run of 100 tokens a step at `speed` tokens a second, which was logged every 10 steps and evaluated there too.
void write_run(const fs::path& run, double speed, const std::vector<double>& losses,
               const std::string& settings = "[train]\nseed = 0\n") {
    std::string lines;
    for (size_t i = 1; i <= losses.size(); ++i)
        lines += fmt::format(
            "{{\"step\":{0},\"tokens\":{1},\"loss\":{2},\"tokens_per_second\":{3}}}\n{{\"step\":{0},\"eval_loss\":{2}}}"
            "\n",
            10 * i, 1000 * i, losses[i - 1], speed);
    fs::create_directories(run);
    write_text(run / "metrics.jsonl", lines);
    write_text(run / "config.toml", settings);
}

}  // namespace

TEST_CASE("where a curve first is at a level") {
    const std::vector<Point> curve = {{10, 8}, {20, 6}, {30, 6.5}, {40, 4}};
    CHECK(first_reaches(curve, 9) == 10);
    CHECK(first_reaches(curve, 7) == 15);
    CHECK(first_reaches(curve, 6) == 20);  // not again after the rise
    CHECK(first_reaches(curve, 5) == 36);
    CHECK(!first_reaches(curve, 3.9));
}

TEST_CASE("a run is compared with the nearest dense one, at the worse of the two lowest losses") {
    const TemporaryFolder folder;
    write_run(folder / "dense", 100, {8, 6, 4, 3});
    write_run(folder / "seed1", 100, {8, 6, 4, 2}, "[train]\nseed = 1\n");
    write_run(folder / "fast", 200, {8, 5, 3.5}, "[train]\nmethod = \"token_dropping\"\nseed = 1\n");
    write_run(folder / "better", 50, {8, 4, 1}, "[train]\nmethod = \"token_dropping\"\n");
    write_run(folder / "other", 50, {8, 4, 1}, "[train]\nmethod = \"token_dropping\"\n[data]\nsequence = 64\n");
    std::vector<std::string> arguments;
    for (const char* name : {"dense", "seed1", "fast", "better", "other"})
        arguments.push_back((folder / name).string());
    const std::vector<ReportedRun> runs = read_runs(arguments);
    CHECK(runs[2].name == "fast");
    const std::vector<TimeToLoss> times = times_to_loss(runs);
    REQUIRE(times.size() == 2);  // `other` is evaluated on other sequences than any dense run
    CHECK(times[0].run == 2);
    CHECK(times[0].dense == 1);
    CHECK(times[0].loss == 3.5);
    CHECK(times[0].run_step == 30);
    CHECK(times[0].dense_step == 32.5);  // from 4 to 2 in 10 steps
    // 3000 tokens at 200 a second; 3250 at 100.
    CHECK(saving(runs, times[0], Against::seconds) == doctest::Approx(1 - 15.0 / 32.5));
    CHECK(saving(runs, times[0], Against::tokens) == doctest::Approx(1 - 30 / 32.5));
    CHECK(times[1].dense == 0);
    CHECK(times[1].loss == 3);
    CHECK(times[1].run_step == doctest::Approx(20 + 10.0 / 3));
    CHECK(saving(runs, times[1], Against::seconds) == doctest::Approx(1 - (20 + 10.0 / 3) * 2 / 40));
}

TEST_CASE("runs of one name have a row with their mean and standard deviation") {
    const TemporaryFolder folder;
    write_run(folder / "dense", 100, {4, 2});
    std::vector<std::string> arguments = {(folder / "dense").string()};
    for (const double speed : {125.0, 200.0}) {  // 20 % and 50 % of the time saved: 35 ± 15 · sqrt(2)
        const fs::path run = folder / fmt::format("fast{}", speed);
        write_run(run, speed, {4, 2}, "[train]\nmethod = \"token_dropping\"\n");
        arguments.push_back("fast=" + run.string());
    }
    const std::string section = time_to_loss_section(read_runs(arguments));
    CHECK(section.find(">20.0 %<") != std::string::npos);
    CHECK(section.find("<td>mean of 2</td>") != std::string::npos);
    CHECK(section.find(">35.0 ± 21.2 %<") != std::string::npos);
}

TEST_CASE("training time is what the logged speeds say: no pause is in it") {
    const TemporaryFolder folder;
    write_text(folder / "metrics.jsonl",
               "{\"step\":10,\"tokens\":1000,\"time\":5,\"tokens_per_second\":100}\n"
               "{\"step\":20,\"tokens\":2000,\"time\":900}\n"
               "{\"step\":30,\"tokens\":3000,\"time\":99999,\"tokens_per_second\":50,\"loss\":null}\n{\"step\":4");
    const RunMetrics metrics(folder.path());
    CHECK(metrics.last_step() == 30);
    CHECK(metrics.seconds_at(10) == 10);
    CHECK(metrics.seconds_at(30) == 50);  // 2000 tokens at 50 a second
    CHECK(metrics.seconds_at(20) == 30);
    CHECK(metrics.seconds_at(60) == 100);
    CHECK(metrics.tokens_at(15) == 1500);
    CHECK(std::isnan(metrics.steps()[2].loss));
}

TEST_CASE("names of runs are as short as tells them apart") {
    const TemporaryFolder folder;
    for (const char* run : {"a/x", "b/x", "b/y"}) write_run(folder / run, 100, {1});
    const auto names = [&](const std::vector<std::string>& given) {
        std::vector<std::string> arguments, found;
        for (const std::string& run : given) arguments.push_back((folder / run).string());
        for (const ReportedRun& run : read_runs(arguments)) found.push_back(run.name);
        return found;
    };
    CHECK(names({"a/x", "b/y/"}) == std::vector<std::string>{"x", "y"});
    CHECK(names({"a/x", "b/x", "b/y"}) == std::vector<std::string>{"a/x", "b/x", "b/y"});
    CHECK(names({"a/x"}) == std::vector<std::string>{"x"});
    const std::vector<ReportedRun> labelled =
        read_runs({"s=" + (folder / "a/x").string(), (folder / "b/y").string(), "s=" + (folder / "b/x").string()});
    CHECK(labelled[0].style == labelled[2].style);
    CHECK(labelled[0].style != labelled[1].style);
}

TEST_CASE("more names than there are styles: the runs of a method are drawn alike") {
    const TemporaryFolder folder;
    std::vector<std::string> arguments;
    for (int i = 0; i < 25; ++i) {
        arguments.push_back((folder / ("run" + std::to_string(i))).string());
        write_run(arguments.back(), 100, {1},
                  i % 2 == 0 ? "[train]\nmethod = \"dense\"\n" : "[train]\nmethod = \"sctd\"\n");
    }
    const std::vector<ReportedRun> runs = read_runs(arguments);
    for (size_t i = 0; i < runs.size(); ++i) CHECK(runs[i].style == i % 2);
    arguments.pop_back();
    CHECK(read_runs(arguments).back().style == 23);
}

TEST_CASE("the command of a configuration makes the same configuration again") {
    const auto remade = [](const std::string& command) {
        RunConfig config;
        std::vector<Setting> settings;
        std::vector<std::string> words = {""};
        bool quoted = false;
        for (const char c : command) {
            if (c == '\'')
                quoted = !quoted;
            else if (c == ' ' && !quoted)
                words.emplace_back();
            else
                words.back() += c;
        }
        config = RunConfig::load(words[2]);
        static const std::map<std::string, std::string> kOptions = {
            {"--data", "data.path"},    {"--method", "train.method"}, {"--precision", "train.precision"},
            {"--steps", "train.steps"}, {"--batch", "train.batch"},   {"--sequence", "data.sequence"},
            {"--seed", "train.seed"}};
        for (size_t i = 3; i + 1 < words.size(); i += 2) {
            if (words[i] == "--set")
                settings.push_back(Setting::parse(words[i + 1]));
            else if (const auto option = kOptions.find(words[i]); option != kOptions.end())
                settings.push_back({option->second, words[i + 1]});
        }
        config.set(settings);
        return config;
    };
    for (const char* settings :
         {"", "[model]\npreset = \"bert-mini\"\n",
          "[model]\nhidden = 96\nheads = 3\nintermediate = 100\ndropout = 0.0\n",
          "[data]\npath = \"a b\"\nsequence = 64\nmask_probability = 0.25\n[train]\nsteps = 77\nlr = 3e-4\n",
          "[train]\nmethod = \"sctd\"\n[sctd]\ninterval = 20\ninterval_end = 40\n[dropping]\nkeep = 40\n",
          "[train]\nmethod = \"sctd\"\n[sctd]\ninterval_end = 7\n"}) {
        CAPTURE(settings);
        const RunConfig config = RunConfig::from_toml(settings, "test");
        const std::string command = pretrain_command(config, "runs/a b", "");
        CAPTURE(command);
        CHECK(values_of(remade(command)) == values_of(config));
    }
    const RunConfig mini = RunConfig::from_toml("[model]\npreset = \"bert-mini\"\n[train]\nlr = 0.001\n", "test");
    CHECK(pretrain_command(mini, "runs/x", "") == "dropforge pretrain bert-mini --out runs/x --set train.lr=0.001");
    CHECK(pretrain_command(mini, "x", "old model") ==
          "dropforge pretrain bert-mini --out x --init 'old model' --set train.lr=0.001");
}

TEST_CASE("ops of all layers come together; what is no trace is refused") {
    const TemporaryFolder folder;
    write_text(folder / "trace.json", R"({"traceEvents": [
        {"ph": "M", "name": "thread_name", "args": {"name": "dense step"}},
        {"ph": "X", "name": "layer0/fc1", "dur": 100, "args": {"gflops": 10}},
        {"ph": "X", "name": "layer11/fc1", "dur": 300, "args": {"gflops": 30}},
        {"ph": "X", "name": "embeddings/sum", "dur": 150, "args": {"gflops": 0}}]})");
    const std::vector<OpTotal> times = op_times(folder / "trace.json");
    REQUIRE(times.size() == 2);
    CHECK(times[0].name == "fc1");
    CHECK(times[0].calls == 2);
    CHECK(times[0].seconds == doctest::Approx(400e-6));
    CHECK(times[0].flops == doctest::Approx(1e6 + 9e6));  // 10 GFLOP/s for 100 us, 30 for 300
    CHECK(times[1].name == "embeddings/sum");
    for (const char* text : {"", "[]", "{}", "{\"traceEvents\": [{\"ph\": \"X\"}]}", "{\"traceEvents\": 3}"}) {
        write_text(folder / "trace.json", text);
        CHECK(message_of([&] { op_times(folder / "trace.json"); }) ==
              (folder / "trace.json").string() + ": expected a trace that dropforge pretrain --trace has written");
    }
}
