// bench step: the time of training steps on random data, by the code of pretrain.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "base/command_line.h"
#include "base/json.h"
#include "base/philox.h"
#include "bench/measure/commands.h"
#include "bench/measure/op_times.h"
#include "bench/measure/study.h"
#include "data/batches/batch.h"
#include "devices/choice/choose_device.h"
#include "devices/device.h"
#include "kernels/gemm_peak.h"
#include "model/run/plan.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
    Study study{.model = "bert-mini"};
    int64_t steps = 8, warmup = 2;
    int threads = 0;
    bool against_dense = false, by_op = false, json = false;
    std::string device = "auto";
};

/// [MASK] in so many of the masked positions of each sequence, and nowhere else.
void set_masks(data::Batch& b, int32_t mask, int64_t count) {
    for (int32_t& id : b.input_ids) id += id == mask ? 1 : 0;
    for (int64_t s = 0; s < b.sequences; ++s)
        for (int64_t i = 0; i < count; ++i) {
            const int64_t position = b.masked_positions[static_cast<size_t>(s * b.masked + i)];
            b.input_ids[static_cast<size_t>(s * b.length + position)] = mask;
        }
}

/// Uniform ids, distinct ascending masked positions; pairs of two halves without padding.
data::Batch random_batch(const RunConfig& c, const Method& method) {
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
    if (c.data.pairs != data::Pairs::none) {
        b.lengths.assign(static_cast<size_t>(b.sequences), static_cast<int32_t>(b.length));
        for (int64_t i = 0; i < b.sequences * b.length; ++i)
            b.token_type_ids.push_back(2 * (i % b.length) < b.length ? 0 : 1);
        for (int64_t s = 0; s < b.sequences; ++s) b.next_sentence_labels.push_back(static_cast<int32_t>(s % 2));
    }
    if (const auto share = method.mask_token_share())
        set_masks(b, c.model.special->mask, std::llround(*share * static_cast<double>(m)));
    return b;
}

/// Seconds of steps of one kind.
struct Times {
    std::vector<double> seconds;

    double median() const {
        std::vector<double> sorted = seconds;
        std::ranges::sort(sorted);
        const size_t n = sorted.size();
        return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    }
    double min() const { return std::ranges::min(seconds); }
    double max() const { return std::ranges::max(seconds); }
};

/// Runs --steps steps of each kind of the method, alternating between the kinds, so that a disturbance of the machine
/// affects all of them.
class StepBench {
  public:
    explicit StepBench(const Options& o)
        : o_(o),
          plan_(plan_study(o.study, choose_device(o.device), o.against_dense)),
          batch_(random_batch(plan_.config, *plan_.method)) {
        plan_.require_fit();
        for (const StepPrograms::Passes& p : plan_.programs->passes) kinds_.push_back(p.kind);
    }

    Json run() {
        TrainingStep step(plan_.parameters, plan_.programs, *plan_.device.kernels);
        plan_.parameters.initialize(step.values(), 1);
        step.store_states();
        for (int64_t i = 0; i < o_.warmup; ++i)
            for (const StepKind kind : kinds_) timed_step(step, kind);
        if (o_.by_op)
            for (Executor* e : step.executors()) e->clock(true);
        for (int64_t i = 0; i < o_.steps; ++i)
            for (const StepKind kind : kinds_) times_[kind].seconds.push_back(timed_step(step, kind));
        for (const std::string& note : step.take_notes()) fmt::print(stderr, "{}\n", note);
        Json report = results();
        for (const kernels::KernelChoice& c : step.kernel_choices())
            report["kernels"].push_back(
                {{"operation", c.operation}, {"library", c.library}, {"kernel", c.kernel}, {"reason", c.reason}});
        if (o_.by_op) report["by_op"] = mean_op_times(step).json();
        return report;
    }

  private:
    /// Seconds of one step. Where steps are queued, the mean of kQueued steps, each queued while the one before runs,
    /// as in training.
    double timed_step(TrainingStep& step, StepKind kind) {
        const auto start = std::chrono::steady_clock::now();
        const int64_t runs = steps_at_once();
        for (int64_t i = 0; i < runs; ++i) {
            step.queue(batch_, {.step = ++done_, .kind = kind, .learning_rate = 1e-4});
            if (!step.may_queue()) step.collect();
        }
        while (step.queued() > 0) step.collect();
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
               static_cast<double>(runs);
    }

    OpTimes mean_op_times(TrainingStep& step) const {
        return op_times(step, static_cast<double>(o_.steps * steps_at_once()));
    }

    int64_t steps_at_once() const { return plan_.device.kind == "cpu" ? 1 : kQueued; }

    Json results() const {
        const auto ms = [&](auto pick) {
            return 1e3 * over_period(*plan_.method, [&](StepKind k) { return pick(times_.at(k)); });
        };
        const double median = ms([](const Times& t) { return t.median(); });
        const double flops = over_period(*plan_.method, [&](StepKind k) { return plan_.flops_per_sequence(k); });
        const double sequences = static_cast<double>(batch_.sequences), rate = flops * sequences / median / 1e6;
        const int64_t rss = peak_rss_bytes();
        const double peak = kernels::gemm_peak_gflops(*plan_.device.kernels, plan_.precision.dtype);
        Json r = {{"model", o_.study.model},
                  {"method", plan_.config.train.method},
                  {"precision", plan_.precision_name()},
                  {"device", plan_.device.model},
                  {"threads", omp_get_max_threads()},
                  {"batch", batch_.sequences},
                  {"sequence", batch_.length},
                  {"masked", batch_.masked},
                  {"steps", o_.steps},
                  {"sequences_per_second", sequences / median * 1e3},
                  {"ms_min", ms([](const Times& t) { return t.min(); })},
                  {"ms_median", median},
                  {"ms_max", ms([](const Times& t) { return t.max(); })},
                  {"flops_per_sequence", flops},
                  {"gflops", rate},
                  {"gemm_gflops", peak},
                  {"mfu", rate / peak},
                  {"plan_bytes", plan_.programs->arena_bytes()},
                  {"plan_lower_bound_bytes", plan_.programs->arena_lower_bound()},
                  {"peak_rss_bytes", rss}};
        if (kinds_.size() > 1) r["kinds"] = kinds_json();
        if (o_.against_dense) r["against_dense"] = against_dense(median, flops);
        return r;
    }

    Json kinds_json() const {
        Json list = Json::array();
        for (const StepKind kind : kinds_) {
            const Times& t = times_.at(kind);
            list.push_back({{"kind", plan_.method->kind_name(kind)},
                            {"ms_min", t.min() * 1e3},
                            {"ms_median", t.median() * 1e3},
                            {"ms_max", t.max() * 1e3},
                            {"flops_per_sequence", plan_.flops_per_sequence(kind)}});
        }
        return list;
    }

    /// Compares pairs of consecutive steps, so that a drift of the machine's speed cancels.
    Json against_dense(double median, double flops) const {
        const Times& dense = times_.at(StepKind::dense);
        Times speedups;
        for (size_t i = 0; i < dense.seconds.size(); ++i)
            speedups.seconds.push_back(dense.seconds[i] /
                                       over_period(*plan_.method, [&](StepKind k) { return times_.at(k).seconds[i]; }));
        const double flop_ratio = plan_.flops_per_sequence(StepKind::dense) / flops;
        return {{"dense_ms_median", dense.median() * 1e3}, {"time_saved", 1 - median / dense.median() / 1e3},
                {"flops_saved", 1 - 1 / flop_ratio},       {"flop_ratio", flop_ratio},
                {"speedup_min", speedups.min()},           {"speedup_median", speedups.median()},
                {"speedup_max", speedups.max()},           {"share_of_flop_ratio", speedups.median() / flop_ratio}};
    }

    static constexpr int64_t kQueued = 8;

    const Options& o_;
    RunPlan plan_;
    data::Batch batch_;
    std::vector<StepKind> kinds_;
    std::map<StepKind, Times> times_;
    int64_t done_ = 0;
};

double number(const Json& r, const char* key) { return r[key].get<double>(); }

void print_kinds(const Json& r) {
    if (!r.contains("kinds")) return;
    for (const Json& k : r["kinds"])
        fmt::print("  {:<9} {:.1f} / {:.1f} / {:.1f} ms   {:.3f} GFLOP a sequence\n", k["kind"].get<std::string>(),
                   number(k, "ms_min"), number(k, "ms_median"), number(k, "ms_max"),
                   number(k, "flops_per_sequence") / 1e9);
}

void print_against_dense(const Json& r) {
    if (!r.contains("against_dense")) return;
    const Json& a = r["against_dense"];
    fmt::print(
        "  against dense: {:.1f} % of the FLOPs and {:.1f} % of the time saved; {:.3f} times as fast ({:.3f} … "
        "{:.3f}), "
        "the FLOPs say {:.3f}\n",
        100 * number(a, "flops_saved"), 100 * number(a, "time_saved"), number(a, "speedup_median"),
        number(a, "speedup_min"), number(a, "speedup_max"), number(a, "flop_ratio"));
}

void print(const Json& r) {
    fmt::print("{} {} {} on {}: {} sequences of {} tokens, {} masked\n", r["model"].get<std::string>(),
               r["method"].get<std::string>(), r["precision"].get<std::string>(), r["device"].get<std::string>(),
               r["batch"].get<int64_t>(), r["sequence"].get<int64_t>(), r["masked"].get<int64_t>());
    fmt::print("  {:.2f} sequences/s   step {:.1f} / {:.1f} / {:.1f} ms (min / median / max of {})\n",
               number(r, "sequences_per_second"), number(r, "ms_min"), number(r, "ms_median"), number(r, "ms_max"),
               r["steps"].get<int64_t>());
    print_kinds(r);
    print_against_dense(r);
    fmt::print("  {:.1f} GFLOP/s of {:.1f} that GEMM reaches: MFU {:.1f} %\n", number(r, "gflops"),
               number(r, "gemm_gflops"), 100 * number(r, "mfu"));
    fmt::print("  activations {:.1f} MB planned, lower bound {:.1f} MB; peak resident {:.1f} MB\n",
               number(r, "plan_bytes") / 1e6, number(r, "plan_lower_bound_bytes") / 1e6,
               number(r, "peak_rss_bytes") / 1e6);
    if (!r.contains("by_op")) return;
    print_op_times(r["by_op"]);
    for (const Json& k : r.value("kernels", Json::array()))
        fmt::print("  {}: {}, {} ({})\n", k["operation"].get<std::string>(), k["library"].get<std::string>(),
                   k["kernel"].get<std::string>(), k["reason"].get<std::string>());
}

void run(const Options& o) {
    omp_set_num_threads(thread_count(o.threads));
    const Json r = StepBench(o).run();
    if (o.json)
        fmt::print("{}\n", json_text(r));
    else
        print(r);
}

}  // namespace

void add_step(CLI::App& app) {
    auto* command = app.add_subcommand(
        "step",
        "Measure training steps on random data, by the code of pretrain\n\n"
        "Prints sequences/s, the time of a step, memory, and MFU: the share of the device's GEMM rate, which is\n"
        "measured too.");
    auto o = std::make_shared<Options>();
    add_study_options(*command, o->study);
    command->add_option("--steps", o->steps, "Number of timed steps of each kind")
        ->transform(whole_number<int64_t>(1))
        ->capture_default_str();
    command->add_option("--warmup", o->warmup, "Number of untimed steps of each kind before them")
        ->transform(whole_number<int64_t>(0))
        ->capture_default_str();
    add_device(*command, o->device);
    add_threads(*command, o->threads);
    command->add_flag("--against-dense", o->against_dense, "Alternate with dense steps, and print the speed-up");
    command->add_flag("--by-op", o->by_op, "Print the time of each op in the mean step");
    command->add_flag("--json", o->json, "Print one JSON object on stdout");
    command->footer(
        fmt::format("Examples: {0} step --model bert-mini --precision bf16 --batch 32 --sequence 128 --by-op\n"
                    "          {0} step --model bert-base --method sctd --batch 8 --sequence 512 --against-dense",
                    app.get_name()));
    command->callback([o] { run(*o); });
}

}  // namespace dropforge
