// The command line of bench.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace {

struct Outcome {
    int exit_code;
    std::string text;  // stdout and stderr
};

Outcome bench(const std::string& arguments) {
    FILE* pipe = popen((DROPFORGE_BIN "/bench " + arguments + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    return {WEXITSTATUS(pclose(pipe)), text};
}

}  // namespace

TEST_CASE("--version, also of a subcommand, says what was built") {
    const Outcome version = bench("--version");
    CHECK(version.exit_code == 0);
    CHECK(version.text.starts_with("bench "));
    CHECK(version.text.find("\nrevision ") != std::string::npos);
    for (const char* name : {"data", "kernels", "gemm", "step"})
        CHECK(bench(name + std::string(" --version")).text == version.text);
}

TEST_CASE("wrong usage: exit 2 and one line") {
    for (const char* arguments : {"", "stop", "step --nonsense"}) {
        CAPTURE(arguments);
        const Outcome outcome = bench(arguments);
        CHECK(outcome.exit_code == 2);
        CHECK(outcome.text.starts_with("error: "));
        CHECK(outcome.text.find("(see bench --help)\n") == outcome.text.size() - 19);
    }
    CHECK(bench("step --model abacus").exit_code == 1);
}

TEST_CASE("kernels: every rate comes with its share of what the device can do") {
    const Outcome outcome = bench("kernels --model bert-tiny --batch 2 --sequence 16 --filter t --json");
    REQUIRE(outcome.exit_code == 0);
    const auto report = nlohmann::json::parse(outcome.text);
    CHECK(report["memory_gbytes_per_second"].get<double>() > 0);
    REQUIRE(report["kernels"].size() > 10);
    for (const auto& kernel : report["kernels"]) {
        CAPTURE(kernel.dump());
        CHECK(kernel["ms_min"].get<double>() > 0);
        CHECK(kernel["ms"].get<double>() >= kernel["ms_min"].get<double>());
        CHECK(kernel[kernel.contains("gflops") ? "gemm_share" : "bandwidth_share"].get<double>() > 0);
    }
    CHECK(bench("kernels --filter nothing").exit_code == 1);
}

TEST_CASE("gemm: the products of a step, and the best square one") {
    const Outcome outcome = bench("gemm --model bert-tiny --batch 2 --sequence 16 --device cpu --json");
    REQUIRE(outcome.exit_code == 0);
    for (const auto& rates : nlohmann::json::parse(outcome.text)["rates"]) {
        CHECK(rates["peak_gflops"].get<double>() > 0);
        CHECK(rates["shapes"].size() == 15);
        for (const auto& shape : rates["shapes"]) CHECK(shape["gflops"].get<double>() > 0);
    }
}
