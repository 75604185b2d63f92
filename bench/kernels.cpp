// bench kernels: the time of every kernel at model shapes, against the memory bandwidth measured beside it.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "bench/commands.h"
#include "bench/kernel_cases.h"

namespace dropforge {

namespace {

struct KernelOptions {
    std::string filter, backend = "cpu";
    bool json = false;
};

struct Seconds {
    double median, least;
};

/// Of a call, over at least 5 calls and 0.2 seconds; the first call is not counted.
template <typename F>
Seconds measure(F&& call) {
    using Clock = std::chrono::steady_clock;
    static constexpr double kEnoughSeconds = 0.2;
    static constexpr size_t kFewestCalls = 5;
    call();
    std::vector<double> seconds;
    for (double total = 0; total < kEnoughSeconds || seconds.size() < kFewestCalls; total += seconds.back()) {
        const auto start = Clock::now();
        call();
        seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
    std::ranges::sort(seconds);
    return {seconds[seconds.size() / 2], seconds[0]};
}

/// Bytes per second, read and written, of a += b over arrays far larger than the caches: what an operation that updates
/// in place can reach.
double memory_bandwidth() {
    constexpr int64_t kElements = 1 << 25;
    std::vector<float> a(kElements), b(kElements);
    const Seconds seconds = measure([&] {
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < kElements; ++i) a[static_cast<size_t>(i)] += b[static_cast<size_t>(i)];
    });
    return 3.0 * sizeof(float) * kElements / seconds.least;
}

void report(const KernelOptions& options, nlohmann::json& results, const std::string& name, const ModelShape& shape,
            DType dtype, const KernelCase& kernel, Seconds seconds, double bandwidth) {
    const double gbytes = kernel.bytes / seconds.median / 1e9, gflops = kernel.flops / seconds.median / 1e9;
    if (options.json) {
        nlohmann::json result = {{"kernel", name},
                                 {"model", shape.name},
                                 {"dtype", name_of(dtype)},
                                 {"ms", seconds.median * 1e3},
                                 {"ms_min", seconds.least * 1e3},
                                 {"gbytes_per_second", gbytes},
                                 {"bandwidth_share", gbytes * 1e9 / bandwidth}};
        if (kernel.flops > 0) result["gflops"] = gflops;
        results.push_back(std::move(result));
        return;
    }
    const std::string rate = kernel.flops > 0
                                 ? fmt::format("{:8.1f} GFLOP/s", gflops)
                                 : fmt::format("{:8.1f} GB/s  {:4.0f} %", gbytes, 100e9 * gbytes / bandwidth);
    fmt::print("{:<20} {:<10} {:<5} {:9.3f} ms (best {:9.3f}) {}\n", name, shape.name, name_of(dtype),
               seconds.median * 1e3, seconds.least * 1e3, rate);
}

void bench_kernels(const KernelOptions& options) {
    const kernels::KernelTable& table = options.backend == "cpu" ? kernels::cpu() : kernels::reference();
    const std::unique_ptr<kernels::Context> context = table.create_context();
    const double bandwidth = memory_bandwidth();
    if (!options.json) {
        fmt::print("{} threads, memory {:.1f} GB/s (more than 100 % of it: the operands fit in a cache)\n",
                   omp_get_max_threads(), bandwidth / 1e9);
    }
    nlohmann::json results = nlohmann::json::array();
    bool matched = false;
    for (const ModelShape& shape : {ModelShape{"bert-mini", 256, 4}, ModelShape{"bert-base", 768, 12}}) {
        for (const DType dtype : {DType::f32, DType::bf16}) {
            for (const KernelCaseMaker& maker : kernel_cases(shape, dtype)) {
                if (maker.name.find(options.filter) == std::string::npos) continue;
                matched = true;
                const KernelCase kernel = maker.make();
                if (!kernel.run(table, *context)) continue;
                const Seconds seconds = measure([&] { kernel.run(table, *context); });
                report(options, results, maker.name, shape, dtype, kernel, seconds, bandwidth);
            }
        }
    }
    require(matched, "no kernel has \"{}\" in its name", options.filter);
    if (!options.json) return;
    const nlohmann::json result = {{"backend", table.name},
                                   {"threads", omp_get_max_threads()},
                                   {"memory_gbytes_per_second", bandwidth / 1e9},
                                   {"kernels", results}};
    fmt::print("{}\n", result.dump());
}

}  // namespace

void add_kernels(CLI::App& app) {
    CLI::App& command =
        *app.add_subcommand("kernels", "Every kernel, forward and backward, at the shapes of bert-mini and bert-base");
    command.footer("Example: bench kernels --filter layernorm");
    auto options = std::make_shared<KernelOptions>();
    command.add_option("--filter", options->filter, "Only kernels with this in their name");
    command.add_option("--backend", options->backend, "Whose kernels")
        ->check(CLI::IsMember({"reference", "cpu"}))
        ->capture_default_str();
    command.add_flag("--json", options->json, "One JSON object on stdout");
    command.callback([options] { bench_kernels(*options); });
}

}  // namespace dropforge
