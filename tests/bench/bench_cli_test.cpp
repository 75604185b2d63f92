// The command line of bench.
#include <string>

#include "tests/support/bench_command.h"

using dropforge::test::bench;
using dropforge::test::bench_json;
using dropforge::test::Outcome;

TEST_CASE("--version, also of a subcommand, says what was built") {
    const Outcome version = bench("--version");
    CHECK(version.exit_code == 0);
    CHECK(version.text.starts_with("bench "));
    CHECK(version.text.find("\nrevision ") != std::string::npos);
    for (const char* name : {"data", "kernels", "gemm", "step", "predict"})
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
    const auto report = bench_json("kernels --model bert-tiny --batch 2 --sequence 16 --filter t");
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

TEST_CASE("step: operations of runs with several kinds are those of the mean step") {
    for (const char* more : {"", " --set sctd.interval=1", " --set sctd.interval=4 --against-dense",
                             " --set dropping.start_step=5 --set train.steps=5 --set sctd.interval_end=3",
                             " --set data.pairs=next_sentence"}) {
        CAPTURE(more);
        const auto report =
            bench_json(std::string("step --model bert-mini --method sctd --batch 4 --sequence 32 --steps 3 "
                                   "--device cpu --precision f32 --by-op") +
                       more);
        double ops = 0, floats = 0;
        for (const auto& op : report["by_op"]) {
            ops += op["ms"].get<double>();
            floats += op["gflops"].get<double>() * op["ms"].get<double>() * 1e6;
        }
        // Counted work is exact: what is left are the roundings of some hundred operations in double precision, each
        // divided by its time and multiplied by it again (4 · 300 · 2^-53).
        CHECK(floats == doctest::Approx(4 * report["flops_per_sequence"].get<double>()).epsilon(1200 * 0x1p-53));
        CHECK(ops > 0);
        for (const auto& kind : report.value("kinds", nlohmann::json::array())) CHECK(kind["ms_min"].get<double>() > 0);
    }
}

TEST_CASE("gemm: the GEMMs of a step, and the best square one") {
    const auto report = bench_json("gemm --model bert-tiny --batch 2 --sequence 16 --device cpu");
    for (const auto& rates : report["rates"]) {
        CHECK(rates["peak_gflops"].get<double>() > 0);
        CHECK(rates["shapes"].size() == 15);
        for (const auto& shape : rates["shapes"]) CHECK(shape["gflops"].get<double>() > 0);
    }
}
