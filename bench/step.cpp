// bench step: whole training steps on random data, through the same code as pretrain.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/philox.h"
#include "bench/commands.h"
#include "engine/device.h"
#include "kernels/cpu/gemm_peak.h"
#include "model/run_plan.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
    std::string model = "bert-mini", method = "dense", precision = "auto", keep;  // keep: empty: the model's
    int64_t batch = 32, micro_batch = 0, sequence = 128, masked = 0, steps = 8, warmup = 2;
    int threads = 0;
    bool by_op = false, json = false;
};

RunConfig run_config(const Options& o) {
    RunConfig c = RunConfig::load(o.model);
    c.data.sequence = o.sequence;
    if (o.masked > 0) c.data.max_predictions = o.masked;
    c.train.batch = o.batch;
    c.train.micro_batch = o.micro_batch;
    c.set("train.precision=" + o.precision);
    c.set("train.method=" + o.method);
    if (!o.keep.empty()) c.set("dropping.keep=" + o.keep);
    return c;
}

/// Uniform ids, distinct ascending masked positions.
data::Batch random_batch(const RunConfig& c) {
    const int64_t m = c.data.predictions();
    data::Batch b{.sequences = c.train.batch, .length = c.data.sequence, .masked = m};
    PhiloxStream random(1, 0);
    const auto vocabulary = static_cast<uint32_t>(c.model.vocabulary);
    for (int64_t i = 0; i < b.sequences * b.length; ++i)
        b.input_ids.push_back(static_cast<int32_t>(random.below(vocabulary)));
    for (int64_t i = 0; i < b.sequences * m; ++i) {
        b.masked_positions.push_back(static_cast<int32_t>(i % m * b.length / m));
        b.masked_labels.push_back(static_cast<int32_t>(random.below(vocabulary)));
        b.masked_weights.push_back(1);
    }
    return b;
}

/// Times of the ops that differ only in the layer's number, added up.
struct OpGroup {
    double seconds = 0, flops = 0, bytes = 0;
};

/// "layer3/fc1" → "layer*/fc1".
std::string group_name(const std::string& op) {
    constexpr std::string_view kLayer = "layer";
    const size_t slash = op.find('/');
    if (!op.starts_with(kLayer) || slash == std::string::npos) return op;
    return "layer*" + op.substr(slash);
}

std::map<std::string, OpGroup> by_op(TrainingStep& step, double steps) {
    std::map<std::string, OpGroup> groups;
    for (const Executor* executor : step.executors()) {
        const auto times = executor->times();
        for (size_t i = 0; i < times.size(); ++i) {
            const Op& op = executor->program().ops()[i];
            OpGroup& g = groups[group_name(op.name)];
            const double runs = static_cast<double>(times[i].runs) / steps;
            g.seconds += times[i].seconds / steps;
            g.flops += op.flops * runs;
            g.bytes += op.bytes * runs;
        }
    }
    return groups;
}

Json by_op_json(TrainingStep& step, double steps) {
    const auto groups = by_op(step, steps);
    double total = 0;
    for (const auto& [name, g] : groups) total += g.seconds;
    std::vector<std::pair<std::string, OpGroup>> order(groups.begin(), groups.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
    Json list = Json::array();
    for (const auto& [name, g] : order)
        if (g.seconds > 0)
            list.push_back({{"op", name},
                            {"ms", g.seconds * 1e3},
                            {"gflops", g.flops / g.seconds / 1e9},
                            {"gbytes_per_second", g.bytes / g.seconds / 1e9},
                            {"share", g.seconds / total}});
    return list;
}

void print(const Json& r) {
    fmt::print("{} {} {} on {}: {} sequences of {} tokens, {} masked\n", r["model"].get<std::string>(),
               r["method"].get<std::string>(), r["precision"].get<std::string>(), r["device"].get<std::string>(),
               r["batch"].get<int64_t>(), r["sequence"].get<int64_t>(), r["masked"].get<int64_t>());
    fmt::print("  {:.2f} sequences/s   step {:.1f} / {:.1f} / {:.1f} ms (min / median / max of {})\n",
               r["sequences_per_second"].get<double>(), r["ms_min"].get<double>(), r["ms_median"].get<double>(),
               r["ms_max"].get<double>(), r["steps"].get<int64_t>());
    fmt::print("  {:.1f} GFLOP/s of {:.1f} that GEMM reaches: MFU {:.1f} %\n", r["gflops"].get<double>(),
               r["gemm_gflops"].get<double>(), 100 * r["mfu"].get<double>());
    fmt::print("  activations {:.1f} MB planned, lower bound {:.1f} MB; peak resident {:.1f} MB\n",
               r["plan_bytes"].get<double>() / 1e6, r["plan_lower_bound_bytes"].get<double>() / 1e6,
               r["peak_rss_bytes"].get<double>() / 1e6);
    if (!r.contains("by_op")) return;
    fmt::print("\n  {:<36} {:>9} {:>8} {:>9} {:>8}\n", "op", "ms", "share", "GFLOP/s", "GB/s");
    for (const Json& op : r["by_op"])
        fmt::print("  {:<36} {:>9.3f} {:>7.1f}% {:>9.1f} {:>8.1f}\n", op["op"].get<std::string>(),
                   op["ms"].get<double>(), 100 * op["share"].get<double>(), op["gflops"].get<double>(),
                   op["gbytes_per_second"].get<double>());
}

void run(const Options& o) {
    omp_set_num_threads(o.threads > 0 ? o.threads : cpu_info().physical_cores);
    RunPlan plan(run_config(o));
    plan.require_fit();
    const data::Batch batch = random_batch(plan.config);
    const double flops = plan.programs.flops(), flops_per_sequence = plan.flops_per_sequence();
    const int64_t plan_bytes = plan.programs.arena_bytes(), lower_bound = plan.programs.arena_lower_bound();
    TrainingStep step(plan.parameters, std::move(plan.programs), kernels::cpu());
    plan.parameters.initialize(step.values(), 1);
    step.weights_changed();
    std::vector<double> seconds;
    for (int64_t i = 1; i <= o.warmup + o.steps; ++i) {
        if (o.by_op && i == o.warmup + 1)
            for (Executor* e : step.executors()) e->clock(true);
        const auto start = std::chrono::steady_clock::now();
        step.backward(batch, i);
        step.update(i, 1e-4);
        if (i > o.warmup)
            seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    const Json ops = o.by_op ? by_op_json(step, static_cast<double>(o.steps)) : Json();
    std::sort(seconds.begin(), seconds.end());
    const double median = seconds[seconds.size() / 2], rate = flops / median / 1e9;
    const int64_t rss = peak_rss_bytes();
    const double peak = kernels::on_cpu::gemm_peak_gflops(plan.precision.dtype);
    Json r = {{"model", o.model},
              {"method", o.method},
              {"precision", name_of(plan.precision.dtype)},
              {"device", plan.cpu.model},
              {"threads", omp_get_max_threads()},
              {"batch", o.batch},
              {"sequence", o.sequence},
              {"masked", batch.masked},
              {"steps", o.steps},
              {"sequences_per_second", static_cast<double>(o.batch) / median},
              {"ms_min", seconds.front() * 1e3},
              {"ms_median", median * 1e3},
              {"ms_max", seconds.back() * 1e3},
              {"flops_per_sequence", flops_per_sequence},
              {"gflops", rate},
              {"gemm_gflops", peak},
              {"mfu", rate / peak},
              {"plan_bytes", plan_bytes},
              {"plan_lower_bound_bytes", lower_bound},
              {"peak_rss_bytes", rss}};
    if (o.by_op) r["by_op"] = ops;
    if (o.json)
        fmt::print("{}\n", r.dump());
    else
        print(r);
}

}  // namespace

void add_step(CLI::App& app) {
    auto* command = app.add_subcommand("step", "Whole training steps on random data, the same code path as pretrain");
    auto o = std::make_shared<Options>();
    command->add_option("--model", o->model, "Preset or configuration")->capture_default_str();
    command->add_option("--method", o->method, "dense, token_dropping, sctd")->capture_default_str();
    command->add_option("--keep", o->keep, "Tokens that stay: a count (64), or a share of the sequence (0.5)");
    command->add_option("--precision", o->precision, "auto, bf16, f32")->capture_default_str();
    command->add_option("--batch", o->batch, "Sequences a step")->check(CLI::PositiveNumber)->capture_default_str();
    command->add_option("--micro-batch", o->micro_batch, "Sequences at a time (0: all)")->check(CLI::NonNegativeNumber);
    command->add_option("--sequence", o->sequence, "Tokens a sequence")
        ->check(CLI::Range(3, 1 << 16))
        ->capture_default_str();
    command->add_option("--masked", o->masked, "Masked positions a sequence (0: 15 %)")->check(CLI::NonNegativeNumber);
    command->add_option("--steps", o->steps, "Timed steps")->check(CLI::PositiveNumber)->capture_default_str();
    command->add_option("--warmup", o->warmup, "Steps before them")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    command->add_option("--threads", o->threads, "Threads (default: physical cores)")->check(CLI::PositiveNumber);
    command->add_flag("--by-op", o->by_op, "Time by operation");
    command->add_flag("--json", o->json, "One JSON object on stdout");
    command->footer("Example: bench step --model bert-mini --precision bf16 --batch 32 --sequence 128 --by-op");
    command->callback([o] { run(*o); });
}

}  // namespace dropforge
