// bench gemm: a device's best matrix product and the products of a model's training step; on a CPU beside oneDNN's.
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

struct Product {
    std::string name;
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    bool weight_gradient;  // f32 output
};

/// A linear layer from `in` to `out` columns on `rows` rows: y = x·Wᵀ, dx = dy·W, dW = dyᵀ·x.
void add_linear(std::vector<Product>& products, const std::string& name, int64_t rows, int64_t in, int64_t out) {
    products.push_back({name + " forward", rows, out, in, false, true, false});
    products.push_back({name + " input gradient", rows, in, out, false, false, false});
    products.push_back({name + " weight gradient", out, in, rows, true, false, true});
}

std::vector<Product> products_of(const BertConfig& config, const GemmOptions& o) {
    const int64_t rows = o.batch * o.sequence, h = config.hidden;
    const auto masked = o.batch * std::max<int64_t>(std::lround(0.15 * static_cast<double>(o.sequence)), 1);
    std::vector<Product> products;
    add_linear(products, "qkv", rows, h, 3 * h);
    add_linear(products, "projection", rows, h, h);
    add_linear(products, "ffn 1", rows, h, config.intermediate);
    add_linear(products, "ffn 2", rows, config.intermediate, h);
    add_linear(products, "decoder", masked, h, config.padded_vocabulary());
    return products;
}

/// GFLOP/s of the fastest of several samples. `onednn`: 0 where oneDNN has no such product or is not asked.
struct Rates {
    double ours = 0, onednn = 0;
};

/// Where there is a rival the two take turns, so that both meet the same machine.
Rates rates_of(const Product& p, DType dtype, const kernels::KernelTable& table, Context& context, OneDnn* rival) {
    KernelMemory memory(dtype, context);
    const Gemm g = gemm_operands(memory, dtype, p.weight_gradient ? DType::f32 : dtype, p.m, p.n, p.k, p.transpose_a,
                                 p.transpose_b);
    const auto rate = [&](const std::function<void()>& call) {
        return flops_of(g) / time_calls(context, {call}).least * 1e-9;
    };
    if (rival && !rival->has(g)) rival = nullptr;
    Rates rates;
    for (int turn = 0; turn < (rival ? 3 : 1); ++turn) {
        rates.ours = std::max(rates.ours, rate([&] { table.gemm(g, context); }));
        if (rival) rates.onednn = std::max(rates.onednn, rate([&] { rival->gemm(g); }));
    }
    return rates;
}

/// `name`: of what the products are made of.
nlohmann::ordered_json measure(const std::vector<Product>& products, DType dtype, const char* name,
                               const Device& device, bool print) {
    const kernels::KernelTable& table = *device.kernels;
    std::optional<OneDnn> rival;
    if (device.kind == "cpu") rival.emplace();
    const double peak = kernels::gemm_peak_gflops(table, dtype);
    const std::unique_ptr<Context> context = table.create_context();
    if (print)
        fmt::print("{}: best {:.0f} GFLOP/s\n{:<28}{:>22}{:>10}{:>8}{:>10}{:>8}\n", name, peak, "", "m x n x k",
                   "GFLOP/s", "", rival ? "oneDNN" : "", rival ? "ratio" : "");
    nlohmann::ordered_json shapes = nlohmann::ordered_json::array();
    for (const Product& p : products) {
        const auto [ours, onednn] = rates_of(p, dtype, table, *context, rival ? &*rival : nullptr);
        nlohmann::ordered_json shape{{"name", p.name}, {"m", p.m}, {"n", p.n}, {"k", p.k}, {"gflops", ours}};
        std::string others;
        if (onednn > 0) {
            shape["onednn_gflops"] = onednn;
            others = fmt::format("{:>10.0f}{:>8.2f}", onednn, ours / onednn);
        }
        if (print)
            fmt::print("{:<28}{:>22}{:>10.0f}{:>7.0f}%{}\n", p.name, fmt::format("{} x {} x {}", p.m, p.n, p.k), ours,
                       100 * ours / peak, others);
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
    const std::vector<Product> products = products_of(BertConfig::preset(o.model), o);
    nlohmann::ordered_json result{{"model", o.model},
                                  {"batch", o.batch},
                                  {"sequence", o.sequence},
                                  {"device", device.model},
                                  {"threads", omp_get_max_threads()}};
    if (!o.json) fmt::print("{}\n", device.text);
    for (const DType dtype : {DType::f32, DType::bf16, DType::fp16})
        if (computes(device, dtype))
            result["rates"].push_back(measure(products, dtype, name_of(dtype), device, !o.json));
    if (tf32) result["rates"].push_back(measure(products, DType::f32, "tf32", *tf32, !o.json));
    if (o.json) fmt::print("{}\n", result.dump(2));
}

}  // namespace

void add_gemm(CLI::App& app) {
    auto options = std::make_shared<GemmOptions>();
    CLI::App* command =
        app.add_subcommand("gemm", "Measure the fastest GEMM of a device, and the GEMMs of a model's step");
    command->add_option("--model", options->model, "Preset whose shapes are taken: bert-tiny … bert-large")
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
