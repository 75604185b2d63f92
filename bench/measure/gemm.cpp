// bench gemm: a device's fastest GEMM, and the GEMMs of a model's training step; on a CPU compared with oneDNN's.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/command_line.h"
#include "base/error.h"
#include "bench/measure/commands.h"
#include "bench/measure/kernel_memory.h"
#include "bench/measure/onednn.h"
#include "bench/measure/timing.h"
#include "devices/choice/choose_device.h"
#include "kernels/gemm_peak.h"
#include "model/network/bert_config.h"

namespace dropforge {

namespace {

using kernels::Context;
using kernels::Gemm;

struct GemmOptions {
    std::string model = "bert-mini";
    int64_t batch = 32, sequence = 128;
    int threads = 0;
    std::string device = "auto";
    bool tf32 = false, json = false;
};

struct GemmShape {
    std::string name;
    int64_t m, n, k;
    bool transpose_a = false, transpose_b = false;
    bool weight_gradient = false;  // f32 output
};

/// A linear layer from `in` to `out` columns on `rows` rows: y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x.
void add_linear(std::vector<GemmShape>& gemms, const std::string& name, int64_t rows, int64_t in, int64_t out) {
    gemms.push_back({.name = name + " forward", .m = rows, .n = out, .k = in, .transpose_b = true});
    gemms.push_back({.name = name + " input gradient", .m = rows, .n = in, .k = out});
    gemms.push_back({.name = name + " weight gradient",
                     .m = out,
                     .n = in,
                     .k = rows,
                     .transpose_a = true,
                     .weight_gradient = true});
}

std::vector<GemmShape> shapes_of(const BertConfig& config, const GemmOptions& o) {
    const int64_t rows = o.batch * o.sequence, h = config.hidden;
    const auto masked = o.batch * std::max<int64_t>(std::lround(0.15 * static_cast<double>(o.sequence)), 1);
    std::vector<GemmShape> gemms;
    add_linear(gemms, "qkv", rows, h, 3 * h);
    add_linear(gemms, "projection", rows, h, h);
    add_linear(gemms, "ffn 1", rows, h, config.intermediate);
    add_linear(gemms, "ffn 2", rows, config.intermediate, h);
    add_linear(gemms, "decoder", masked, h, config.padded_vocabulary());
    return gemms;
}

/// GFLOP/s of the fastest of several samples. `onednn`: 0 where oneDNN does not have the GEMM or is not measured.
struct Rates {
    double dropforge = 0, onednn = 0;
};

/// Measures a GEMM; with a rival the two alternate, so that both run under the same load.
Rates rates_of(const GemmShape& p, DType dtype, const kernels::KernelTable& table, Context& context, OneDnn* rival) {
    KernelMemory memory(dtype, context);
    const Gemm g = gemm_operands(memory, dtype, p.weight_gradient ? DType::f32 : dtype, p.m, p.n, p.k, p.transpose_a,
                                 p.transpose_b);
    const auto rate = [&](const std::function<void()>& call) {
        return flops_of(g) / time_calls(context, {call}).least * 1e-9;
    };
    if (rival && !rival->has(g)) rival = nullptr;
    Rates rates;
    for (int turn = 0; turn < (rival ? 3 : 1); ++turn) {
        rates.dropforge = std::max(rates.dropforge, rate([&] { table.gemm(g, context); }));
        if (rival) rates.onednn = std::max(rates.onednn, rate([&] { rival->gemm(g); }));
    }
    return rates;
}

/// Measures all GEMMs of operands of `dtype`, which the output calls `name`.
nlohmann::ordered_json measure(const std::vector<GemmShape>& gemms, DType dtype, const char* name, const Device& device,
                               bool print) {
    const kernels::KernelTable& table = *device.kernels;
    std::optional<OneDnn> rival;
    if (device.kind == "cpu") rival.emplace();
    const double peak = kernels::gemm_peak_gflops(table, dtype);
    const std::unique_ptr<Context> context = table.create_context();
    if (print)
        fmt::print("{}: best {:.0f} GFLOP/s\n{:<28}{:>22}{:>10}{:>8}{:>10}{:>8}\n", name, peak, "", "m x n x k",
                   "GFLOP/s", "", rival ? "oneDNN" : "", rival ? "ratio" : "");
    nlohmann::ordered_json shapes = nlohmann::ordered_json::array();
    for (const GemmShape& p : gemms) {
        const auto [dropforge, onednn] = rates_of(p, dtype, table, *context, rival ? &*rival : nullptr);
        nlohmann::ordered_json shape{{"name", p.name}, {"m", p.m}, {"n", p.n}, {"k", p.k}, {"gflops", dropforge}};
        std::string comparison;
        if (onednn > 0) {
            shape["onednn_gflops"] = onednn;
            comparison = fmt::format("{:>10.0f}{:>8.2f}", onednn, dropforge / onednn);
        }
        if (print)
            fmt::print("{:<28}{:>22}{:>10.0f}{:>7.0f}%{}\n", p.name, fmt::format("{} x {} x {}", p.m, p.n, p.k),
                       dropforge, 100 * dropforge / peak, comparison);
        shapes.push_back(std::move(shape));
    }
    return {{"dtype", name}, {"peak_gflops", peak}, {"shapes", shapes}};
}

void run(const GemmOptions& o) {
    require(o.batch > 0 && o.sequence > 0, "--batch and --sequence must be positive, not {} and {}", o.batch,
            o.sequence);
    omp_set_num_threads(thread_count(o.threads));
    const Device device = choose_device(o.device);
    const auto tf32 = o.tf32 ? std::optional(with_tf32(device, DType::f32)) : std::nullopt;
    const std::vector<GemmShape> gemms = shapes_of(BertConfig::preset(o.model), o);
    nlohmann::ordered_json result{{"model", o.model},
                                  {"batch", o.batch},
                                  {"sequence", o.sequence},
                                  {"device", device.model},
                                  {"threads", omp_get_max_threads()}};
    if (!o.json) fmt::print("{}\n", device.text);
    for (const DType dtype : {DType::f32, DType::bf16, DType::fp16})
        if (computes(device, dtype)) result["rates"].push_back(measure(gemms, dtype, name_of(dtype), device, !o.json));
    if (tf32) result["rates"].push_back(measure(gemms, DType::f32, "tf32", *tf32, !o.json));
    if (o.json) fmt::print("{}\n", result.dump(2));
}

}  // namespace

void add_gemm(CLI::App& app) {
    auto options = std::make_shared<GemmOptions>();
    CLI::App* command =
        app.add_subcommand("gemm", "Measure the fastest GEMM of a device, and the GEMMs of a model's step");
    command->add_option("--model", options->model, "Preset whose shapes are measured: bert-tiny … bert-large")
        ->type_name("PRESET")
        ->capture_default_str();
    command->add_option("--batch", options->batch, "Sequences in a step")
        ->transform(whole_number<int64_t>(1, 1 << 16))
        ->capture_default_str();
    command->add_option("--sequence", options->sequence, "Tokens in a sequence")
        ->transform(whole_number<int64_t>(1, 1 << 16))
        ->capture_default_str();
    add_threads(*command, options->threads);
    add_device(*command, options->device);
    command->add_flag("--tf32", options->tf32, "Measure f32 GEMMs on a GPU's TF32 tensor cores too");
    command->add_flag("--json", options->json, "Print one JSON object on stdout");
    command->footer(fmt::format("Example: {} gemm --model bert-base --batch 8", app.get_name()));
    command->callback([options] { run(*options); });
}

}  // namespace dropforge
