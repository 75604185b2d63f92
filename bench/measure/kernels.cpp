// bench kernels: the time of every kernel at model shapes, compared with the measured memory bandwidth or GEMM rate.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/command_line.h"
#include "base/error.h"
#include "base/json.h"
#include "bench/measure/commands.h"
#include "bench/measure/kernel_cases.h"
#include "bench/measure/kernel_memory.h"
#include "bench/measure/timing.h"
#include "devices/choice/choose_device.h"
#include "kernels/gemm_peak.h"
#include "model/network/bert_config.h"

namespace dropforge {

namespace {

struct KernelOptions {
    std::string filter, backend = "cpu", model;
    int64_t batch = 32, sequence = 128;
    int threads = 0;
    bool json = false;
};

/// Bytes per second, read and written, of the table's a += b over arrays far larger than the caches: the bandwidth that
/// an in-place operation can reach.
double memory_bandwidth(const kernels::KernelTable& table) {
    const std::unique_ptr<kernels::Context> context = table.create_context();
    const int64_t n = context->on_host() ? 1 << 25 : 1 << 27;
    KernelMemory memory(DType::f32, *context);
    const kernels::Add add{.to = memory.floats(n), .x = memory.floats(n), .n = n, .dtype = DType::f32};
    return 3.0 * sizeof(float) * static_cast<double>(n) /
           time_calls(*context, {[&] { table.add(add, *context); }}).least;
}

class KernelBench {
  public:
    explicit KernelBench(const KernelOptions& options)
        : options_(options),
          table_(options.backend == "reference" ? kernels::reference() : *device_.kernels),
          context_(table_.create_context()),
          bandwidth_(memory_bandwidth(*device_.kernels)) {
        if (!options.json)
            fmt::print("{}: memory {:.1f} GB/s (more than 100 % of it: the operands fit in a cache)\n", where(),
                       bandwidth_ / 1e9);
    }

    void run() {
        for (const ModelShape& shape : shapes())
            for (const DType dtype : {DType::f32, DType::bf16, DType::fp16})
                for (const KernelCaseMaker& maker : kernel_cases(shape, dtype)) {
                    if (!computes(device_, dtype) || maker.name.find(options_.filter) == std::string::npos) continue;
                    matched_ = true;
                    run_case(maker, shape, dtype);
                }
        require(matched_, "no kernel has \"{}\" in its name", options_.filter);
        if (!options_.json) return;
        const nlohmann::json result = {{"backend", table_.name},
                                       {"device", device_.model},
                                       {"threads", omp_get_max_threads()},
                                       {"memory_gbytes_per_second", bandwidth_ / 1e9},
                                       {"kernels", results_}};
        fmt::print("{}\n", json_text(result));
    }

  private:
    std::vector<ModelShape> shapes() const {
        std::vector<ModelShape> shapes;
        for (const std::string& name : options_.model.empty() ? std::vector<std::string>{"bert-mini", "bert-base"}
                                                              : std::vector<std::string>{options_.model}) {
            const BertConfig config = BertConfig::preset(name);
            shapes.push_back({.name = name,
                              .hidden = config.hidden,
                              .heads = config.heads,
                              .rows = options_.batch * options_.sequence,
                              .sequence = options_.sequence,
                              .masked = options_.batch * std::max<int64_t>(options_.sequence * 5 / 32, 1),
                              .positions = std::max<int64_t>(options_.sequence, 512)});
        }
        return shapes;
    }

    std::string where() const {
        return context_->on_host() ? fmt::format("{} threads", omp_get_max_threads()) : device_.text;
    }

    void run_case(const KernelCaseMaker& maker, const ModelShape& shape, DType dtype) {
        std::vector<KernelCase> cases = {maker.make(*context_)};
        if (!cases[0].run(table_, *context_)) return;
        // In a step a device's caches hold other operands; here the calls alternate between more copies than fit.
        constexpr double kBeyondCaches = 256e6;
        constexpr size_t kMost = 16;
        if (!context_->on_host() && cases[0].flops == 0)
            while (cases.size() < kMost && static_cast<double>(cases.size()) * cases[0].allocated < kBeyondCaches)
                cases.push_back(maker.make(*context_));
        std::vector<std::function<void()>> calls;
        calls.reserve(cases.size());
        for (const KernelCase& c : cases) calls.emplace_back([&] { c.run(table_, *context_); });
        report(maker.name, shape, dtype, cases[0], time_calls(*context_, calls));
    }

    /// FLOP/s of the device's best GEMM, measured at the first call.
    double gemm_peak(DType dtype) {
        const auto [found, added] = gemm_peaks_.try_emplace(dtype);
        if (added) found->second = 1e9 * kernels::gemm_peak_gflops(*device_.kernels, dtype);
        return found->second;
    }

    void report(const std::string& name, const ModelShape& shape, DType dtype, const KernelCase& kernel,
                Seconds seconds) {
        const bool arithmetic = kernel.flops > 0;
        const double bytes = kernel.bytes / seconds.median, flops = kernel.flops / seconds.median;
        const double share = arithmetic ? flops / gemm_peak(dtype) : bytes / bandwidth_;
        if (options_.json) {
            nlohmann::json result = {{"kernel", name},
                                     {"model", shape.name},
                                     {"dtype", name_of(dtype)},
                                     {"ms", seconds.median * 1e3},
                                     {"ms_min", seconds.least * 1e3},
                                     {"gbytes_per_second", bytes / 1e9},
                                     {"bandwidth_share", bytes / bandwidth_}};
            if (arithmetic) {
                result["gflops"] = flops / 1e9;
                result["gemm_share"] = share;
            }
            results_.push_back(std::move(result));
            return;
        }
        const std::string rate =
            arithmetic ? fmt::format("{:9.1f} GFLOP/s", flops / 1e9) : fmt::format("{:9.1f} GB/s   ", bytes / 1e9);
        fmt::print("{:<20} {:<10} {:<5} {:9.4f} ms (best {:9.4f}) {} {:4.0f} %\n", name, shape.name, name_of(dtype),
                   seconds.median * 1e3, seconds.least * 1e3, rate, 100 * share);
    }

    const KernelOptions& options_;
    Device device_ = choose_device(options_.backend == "cuda" ? "cuda" : "cpu");
    const kernels::KernelTable& table_;
    std::unique_ptr<kernels::Context> context_;
    double bandwidth_;                    // bytes per second
    std::map<DType, double> gemm_peaks_;  // FLOPs per second
    nlohmann::json results_ = nlohmann::json::array();
    bool matched_ = false;
};

}  // namespace

void add_kernels(CLI::App& app) {
    CLI::App& command =
        *app.add_subcommand("kernels", "Measure every kernel, forward and backward, at the shapes of a BERT");
    command.footer(
        fmt::format("Examples: {0} kernels --filter layernorm\n"
                    "          {0} kernels --backend cuda --model bert-base --batch 128",
                    app.get_name()));
    auto options = std::make_shared<KernelOptions>();
    command.add_option("--filter", options->filter, "Only kernels whose name contains this")->type_name("NAME");
    command.add_option("--backend", options->backend, "Backend to measure")
        ->check(CLI::IsMember({"reference", "cpu", "cuda"}))
        ->capture_default_str();
    command
        .add_option("--model", options->model, "Preset whose shapes are measured (default: bert-mini and bert-base)")
        ->type_name("PRESET");
    command.add_option("--batch", options->batch, "Sequences in a step")
        ->transform(whole_number<int64_t>(1, 1 << 16))
        ->capture_default_str();
    command.add_option("--sequence", options->sequence, "Tokens in a sequence")
        ->transform(whole_number<int64_t>(1, 1 << 16))
        ->capture_default_str();
    add_threads(command, options->threads);
    command.add_flag("--json", options->json, "Print one JSON object on stdout");
    command.callback([options] {
        omp_set_num_threads(thread_count(options->threads));
        KernelBench(*options).run();
    });
}

}  // namespace dropforge
