#include "model/run/pretraining_metrics.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/support/temporary_folder.h"

using namespace dropforge;
using Json = nlohmann::json;

namespace {

StepMetrics step_metrics(int64_t step) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.tokens = step * 32768;
    metrics.loss = 10.0 / 3 + 0.1 * static_cast<double>(step);
    metrics.mlm_accuracy = 1.0 / 7;
    metrics.lr = 1e-4 / 3;
    metrics.grad_norm = 5e-324;
    metrics.time = 1.7e9 + 0.25;
    metrics.sequences_per_second = 312.5;
    metrics.tokens_per_second = 40000;
    metrics.seconds_waiting_for_data = 0.125;
    return metrics;
}

std::vector<Json> lines_of(const fs::path& file) {
    std::vector<Json> lines;
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
    return lines;
}

void append(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::app) << text; }

bool same_bits(double a, double b) { return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b); }

}  // namespace

TEST_CASE("metrics.jsonl: every field, numbers that read back bit for bit") {
    const TemporaryFolder folder;
    StepMetrics metrics = step_metrics(12);
    {
        MetricsLog log(folder.path(), 0, false);
        log.write(metrics);
        metrics.mfu = 0.41;
        metrics.extras["loss_scale"] = 32768;
        log.write(metrics);
        EvalMetrics eval{.step = 12, .eval_loss = 0.1 + 0.2, .eval_accuracy = 0.25, .time = 1.7e9, .eval_seconds = 3};
        log.write(eval);
        log.sync();
    }
    const auto lines = lines_of(folder.path() / "metrics.jsonl");
    REQUIRE(lines.size() == 3);
    CHECK(lines[0].size() == 11);
    CHECK(lines[0]["step"] == 12);
    CHECK(lines[0]["tokens"] == 393216);
    CHECK(same_bits(lines[0]["loss"], metrics.loss));
    CHECK(same_bits(lines[0]["mlm_accuracy"], metrics.mlm_accuracy));
    CHECK(same_bits(lines[0]["lr"], metrics.lr));
    CHECK(same_bits(lines[0]["grad_norm"], 5e-324));
    CHECK(lines[0]["time"] == 1.7e9 + 0.25);
    CHECK(lines[0]["sequences_per_second"] == 312.5);
    CHECK(lines[0]["tokens_per_second"] == 40000.0);
    CHECK(lines[0]["seconds_waiting_for_data"] == 0.125);
    CHECK(lines[0]["mfu"].is_null());
    CHECK(lines[1]["mfu"] == 0.41);
    CHECK(lines[1]["loss_scale"] == 32768);
    CHECK(same_bits(lines[2]["eval_loss"], 0.1 + 0.2));
    CHECK(lines[2]["eval_accuracy"] == 0.25);
    CHECK(lines[2]["step"] == 12);
}

TEST_CASE("metrics.jsonl: random doubles read back bit for bit") {
    const TemporaryFolder folder;
    std::vector<double> values;
    uint64_t bits = 0x9E3779B97F4A7C15;
    {
        MetricsLog log(folder.path(), 0, false);
        for (int i = 0; i < 2000; ++i) {
            bits = bits * 6364136223846793005 + 1442695040888963407;
            StepMetrics metrics = step_metrics(i);
            metrics.loss = std::bit_cast<double>(bits);
            if (!std::isfinite(metrics.loss)) metrics.loss = 0;
            values.push_back(metrics.loss);
            log.write(metrics);
        }
    }
    const auto lines = lines_of(folder.path() / "metrics.jsonl");
    REQUIRE(lines.size() == values.size());
    for (size_t i = 0; i < values.size(); ++i) CHECK(same_bits(lines[i]["loss"], values[i]));
}

TEST_CASE("metrics.jsonl: a number that is not finite stays valid JSON") {
    const TemporaryFolder folder;
    StepMetrics metrics = step_metrics(1);
    metrics.loss = std::numeric_limits<double>::quiet_NaN();
    metrics.grad_norm = std::numeric_limits<double>::infinity();
    MetricsLog(folder.path(), 0, false).write(metrics);
    const auto lines = lines_of(folder.path() / "metrics.jsonl");
    CHECK(lines.at(0)["loss"].is_null());
    CHECK(lines.at(0)["grad_norm"].is_null());
}

TEST_CASE("metrics.jsonl: going on from step N sets later lines aside, and the file is then as if never killed") {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "metrics.jsonl", set_aside = folder.path() / "set-aside-metrics.jsonl";
    std::string unbroken;
    {
        MetricsLog log(folder.path(), 0, false);
        for (int64_t step = 1; step <= 6; ++step) log.write(step_metrics(step));
        unbroken = read_text(file);
    }
    for (const char* torn : {"", "{\"step\": 7, \"lo", "{", "\x00\x00"}) {
        const std::string aside = fs::exists(set_aside) ? read_text(set_aside) : "";
        append(file, torn);
        MetricsLog log(folder.path(), 4, false);
        CHECK(lines_of(file).size() == 4);
        CHECK(read_text(set_aside) == aside + unbroken.substr(read_text(file).size()));
        log.write(step_metrics(5));
        log.write(step_metrics(6));
        CHECK(read_text(file) == unbroken);
    }
    MetricsLog(folder.path(), 0, false);
    CHECK(read_text(file).empty());
    CHECK(lines_of(set_aside).size() == 4 * 2 + 6);
}

TEST_CASE("metrics.jsonl: a whole last line without its newline is kept") {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "metrics.jsonl";
    append(file, "{\"step\":1}\n{\"step\":2}");
    MetricsLog(folder.path(), 2, false);
    CHECK(read_text(file) == "{\"step\":1}\n{\"step\":2}\n");
}

TEST_CASE("metrics.jsonl: a bad line in the middle is refused by file and line") {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "metrics.jsonl";
    for (const char* bad : {"{\"step\":", "[1]", "{\"stop\":2}", "{\"step\":\"2\"}", ""}) {
        const std::string text = std::string("{\"step\":1}\n") + bad + "\n{\"step\":3}\n";
        write_text(file, text);
        std::string message;
        try {
            MetricsLog(folder.path(), 9, false);
        } catch (const Error& error) {
            message = error.what();
        }
        CHECK(message.starts_with(file.string() + ":2: expected a JSON object with a step, got "));
        CHECK(read_text(file) == text);
    }
}

TEST_CASE("metrics.jsonl: what cannot be set aside is not cut, and no event file stays") {
    const TemporaryFolder folder;
    const fs::path file = folder.path() / "metrics.jsonl";
    write_text(file, "{\"step\":1}\n{\"step\":2}\n");
    fs::create_directory(folder.path() / "set-aside-metrics.jsonl");
    CHECK_THROWS_WITH_AS(MetricsLog(folder.path(), 1, true), doctest::Contains("set-aside-metrics.jsonl"), Error);
    CHECK(lines_of(file).size() == 2);
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}

TEST_CASE("metrics: a folder that can't be written names the file") {
    CHECK_THROWS_WITH_AS(MetricsLog("/nonexistent", 0, false),
                         doctest::Contains("/nonexistent/metrics.jsonl: cannot write"), Error);
    CHECK_THROWS_WITH_AS(EventFile("/nonexistent", 0), doctest::Contains("cannot write"), Error);
}
