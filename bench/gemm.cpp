// bench gemm: the machine's best matrix product and the products of a model's training step, ours beside oneDNN's.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/cores.h"
#include "base/error.h"
#include "bench/commands.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/gemm.h"
#include "kernels/gemm_peak.h"
#include "model/bert_config.h"

namespace dropforge {

namespace {

using kernels::Gemm;
using kernels::on_cpu::CpuContext;

struct GemmOptions {
    std::string model = "bert-mini";
    int64_t batch = 32, sequence = 128;
    int threads = 0;
    bool json = false;
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

/// GFLOP/s of the fastest of several runs.
double rate_of(const Product& p, DType dtype, void (*gemm)(const Gemm&, CpuContext&)) {
    const auto matrix = [&](int64_t elements) {  // 0x3c3c…: a small ordinary number in both float types
        return std::vector<unsigned char>(static_cast<size_t>(elements) * size_of(dtype), 0x3c);
    };
    const std::vector<unsigned char> a = matrix(p.m * p.k), b = matrix(p.k * p.n);
    const DType out = p.weight_gradient ? DType::f32 : dtype;
    std::vector<unsigned char> c(static_cast<size_t>(p.m * p.n) * size_of(out));
    const Gemm g{.a = a.data(),
                 .b = b.data(),
                 .c = c.data(),
                 .bias = nullptr,
                 .m = p.m,
                 .n = p.n,
                 .k = p.k,
                 .lda = p.transpose_a ? p.m : p.k,
                 .ldb = p.transpose_b ? p.k : p.n,
                 .ldc = p.n,
                 .transpose_a = p.transpose_a,
                 .transpose_b = p.transpose_b,
                 .accumulate = false,
                 .dtype = dtype,
                 .out = out};
    using Clock = std::chrono::steady_clock;
    CpuContext context;
    gemm(g, context);  // packs into fresh memory, makes oneDNN's primitive
    double best = 1e30, total = 0;
    for (int runs = 0; runs < 3 || total < 0.1; ++runs) {
        const Clock::time_point begin = Clock::now();
        gemm(g, context);
        const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
        best = std::min(best, seconds), total += seconds;
    }
    return 2e-9 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k) / best;
}

nlohmann::ordered_json measure(const std::vector<Product>& products, DType dtype, bool print) {
    const double peak = kernels::gemm_peak_gflops(kernels::cpu(), dtype);
    if (print)
        fmt::print("{}: best {:.0f} GFLOP/s\n{:<28}{:>22}{:>10}{:>8}{:>10}\n", name_of(dtype), peak, "", "m x n x k",
                   "GFLOP/s", "", "oneDNN");
    nlohmann::ordered_json shapes = nlohmann::ordered_json::array();
    for (const Product& p : products) {
        const double onednn = rate_of(p, dtype, kernels::on_cpu::gemm_onednn);
        const double ours =
            rate_of(p, dtype, [](const Gemm& g, CpuContext& context) { kernels::on_cpu::gemm(g, context); });
        if (print)
            fmt::print("{:<28}{:>22}{:>10.0f}{:>7.0f}%{:>10.0f}\n", p.name, fmt::format("{} x {} x {}", p.m, p.n, p.k),
                       ours, 100 * ours / peak, onednn);
        shapes.push_back(
            {{"name", p.name}, {"m", p.m}, {"n", p.n}, {"k", p.k}, {"gflops", ours}, {"onednn_gflops", onednn}});
    }
    return {{"dtype", name_of(dtype)}, {"peak_gflops", peak}, {"shapes", shapes}};
}

void run(const GemmOptions& o) {
    require(o.batch > 0 && o.sequence > 0, "--batch and --sequence must be positive, not {} and {}", o.batch,
            o.sequence);
    omp_set_num_threads(o.threads > 0 ? o.threads : physical_cores());
    const std::vector<Product> products = products_of(BertConfig::preset(o.model), o);
    nlohmann::ordered_json result{
        {"model", o.model}, {"batch", o.batch}, {"sequence", o.sequence}, {"threads", omp_get_max_threads()}};
    for (const DType dtype : {DType::f32, DType::bf16}) result["rates"].push_back(measure(products, dtype, !o.json));
    if (o.json) fmt::print("{}\n", result.dump(2));
}

}  // namespace

void add_gemm(CLI::App& app) {
    auto options = std::make_shared<GemmOptions>();
    CLI::App* command = app.add_subcommand("gemm", "The machine's best matrix product, and those of a model's step");
    command->add_option("--model", options->model, "Preset: bert-tiny … bert-large")->capture_default_str();
    command->add_option("--batch", options->batch, "Sequences")->capture_default_str();
    command->add_option("--sequence", options->sequence, "Tokens of a sequence")->capture_default_str();
    command->add_option("--threads", options->threads, "0: physical cores")->capture_default_str();
    command->add_flag("--json", options->json, "One JSON object on stdout");
    command->callback([options] { run(*options); });
}

}  // namespace dropforge
