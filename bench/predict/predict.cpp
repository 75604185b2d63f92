// bench predict: the time of training steps on a GPU, without the GPU, from the steps' Programs and a file about it.
#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/cores.h"
#include "base/error.h"
#include "base/json.h"
#include "bench/measure/commands.h"
#include "bench/measure/op_times.h"
#include "bench/measure/study.h"
#include "bench/predict/gpu_model.h"
#include "model/run/plan.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

struct Options {
    Study study{.model = "bert-base"};
    std::string gpu = "a100";
    bool by_op = false, json = false;
};

Device device_of(const GpuModel& gpu) {
    return {.kind = "cuda",
            .model = gpu.name,
            .text = gpu.name,
            .bf16 = true,
            .compute_capability = 80,
            .available = static_cast<int64_t>(gpu.memory_bytes),
            .tf32 = &kernels::cpu()};  // has it; which kernels these are does not matter: none is run
}

/// Predicts the steps of each kind of the method, op by op.
class StepPrediction {
  public:
    explicit StepPrediction(const Options& o)
        : o_(o),
          gpu_(GpuModel::load(o.gpu)),
          plan_(plan_study(o.study, device_of(gpu_))),
          prediction_(gpu_, plan_.precision.dtype, plan_.config.train.tf32) {
        plan_.require_fit();
        for (const StepPrograms::Passes& p : plan_.programs->passes)
            seconds_[p.kind] = add_step(p.kind, plan_.method->share(p.kind));
    }

    Json results() const {
        const auto& c = plan_.config;
        const double seconds = over_period(*plan_.method, [&](StepKind k) { return seconds_.at(k); });
        const double flops = over_period(*plan_.method, [&](StepKind k) { return plan_.flops_per_sequence(k); });
        const auto batch = static_cast<double>(c.train.batch);
        Json r = {{"predicted", true},
                  {"model", o_.study.model},
                  {"method", c.train.method},
                  {"precision", plan_.precision_name()},
                  {"device", gpu_.name},
                  {"batch", c.train.batch},
                  {"micro_batch", c.train.micro_batch},
                  {"sequence", c.data.sequence},
                  {"masked", c.data.predictions()},
                  {"sequences_per_second", batch / seconds},
                  {"ms", seconds * 1e3},
                  {"flops_per_sequence", flops},
                  {"gflops", flops * batch / seconds / 1e9},
                  {"peak_gflops", prediction_.peak() / 1e9},
                  {"mfu", flops * batch / seconds / prediction_.peak()},
                  {"memory_bytes", plan_.memory_bytes()}};
        if (seconds_.size() > 1)
            for (const auto& [kind, s] : seconds_)
                r["kinds"].push_back({{"kind", plan_.method->kind_name(kind)}, {"ms", s * 1e3}});
        r["by_op"] = ops_.json();
        return r;
    }

  private:
    /// Seconds of a step, whose ops are added to the table with the weight `share`.
    double add_step(StepKind kind, double share) {
        const StepPrograms::Passes& passes = plan_.programs->of(kind);
        const int64_t micro_batches = plan_.config.train.batch / plan_.config.train.micro_batch;
        const auto accumulating = static_cast<double>(micro_batches - 1);
        double seconds = add_program(passes.first, 1, share) + add_program(plan_.programs->update, 1, share);
        if (passes.accumulating) seconds += add_program(*passes.accumulating, accumulating, share);
        return seconds;
    }

    /// Seconds of `runs` runs, each launched as one recording.
    double add_program(const PlannedProgram& planned, double runs, double share) {
        double seconds = runs * gpu_.launch_seconds;
        ops_.add("(launches of recordings)", share * seconds);
        for (const Op& op : planned.program.ops()) {
            const PredictedTime t = prediction_.of(op, planned.program);
            ops_.add(op, runs * share, runs * share * t.seconds, runs * share * t.floor);
            seconds += runs * t.seconds;
        }
        return seconds;
    }

    const Options& o_;
    GpuModel gpu_;
    RunPlan plan_;
    GpuPrediction prediction_;
    std::map<StepKind, double> seconds_;
    OpTimes ops_;  // of the mean step
};

double number(const Json& r, const char* key) { return r.value(key, 0.0); }

/// The ops that exceed their time at the peaks by the most: "fc1.backward 3.1 ms (1.6 times)", …
std::string above_floor(const Json& by_op) {
    constexpr size_t kNamed = 4;
    std::vector<Json> ops(by_op.begin(), by_op.end());
    const auto excess = [](const Json& op) { return number(op, "ms") - number(op, "floor_ms"); };
    std::ranges::stable_sort(ops, [&](const Json& a, const Json& b) { return excess(a) > excess(b); });
    std::string text;
    for (size_t i = 0; i < std::min(kNamed, ops.size()); ++i)
        text += fmt::format("{}{} {:.2f} ms ({:.2f} times)", i == 0 ? "" : ", ", ops[i]["op"].get<std::string>(),
                            excess(ops[i]), number(ops[i], "ms") / number(ops[i], "floor_ms"));
    return text;
}

void print(const Json& r, bool by_op) {
    fmt::print("Predicted, not measured: {} {} {} on {}: {} sequences of {} tokens, {} masked\n",
               r["model"].get<std::string>(), r["method"].get<std::string>(), r["precision"].get<std::string>(),
               r["device"].get<std::string>(), r["batch"].get<int64_t>(), r["sequence"].get<int64_t>(),
               r["masked"].get<int64_t>());
    fmt::print("  {:.1f} sequences/s   step {:.2f} ms\n", number(r, "sequences_per_second"), number(r, "ms"));
    if (r.contains("kinds"))
        for (const Json& k : r["kinds"])
            fmt::print("  {:<9} {:.2f} ms\n", k["kind"].get<std::string>(), number(k, "ms"));
    fmt::print("  {:.1f} TFLOP/s of {:.1f} at the peak: {:.1f} %\n", number(r, "gflops") / 1e3,
               number(r, "peak_gflops") / 1e3, 100 * number(r, "mfu"));
    fmt::print("  memory {:.1f} GB; above what the peaks allow: {}\n", number(r, "memory_bytes") / 1e9,
               above_floor(r["by_op"]));
    if (by_op) print_op_times(r["by_op"]);
}

void run(const Options& o) {
    omp_set_num_threads(usable_cores());  // plans book scratch for each
    const Json r = StepPrediction(o).results();
    if (o.json)
        fmt::print("{}\n", json_text(r));
    else
        print(r, o.by_op);
}

}  // namespace

void add_predict(CLI::App& app) {
    auto* command = app.add_subcommand("predict",
                                       "Predict the time of training steps on a GPU, without the GPU\n\n"
                                       "Divides the work of each op by the rates in the GPU's file, which are measured "
                                       "for GPUs that have run Dropforge\n"
                                       "and assumed for others.");
    auto o = std::make_shared<Options>();
    command
        ->add_option(
            "--device", o->gpu,
            fmt::format("{}, or a file like bench/predict/devices/a100.toml", fmt::join(GpuModel::known(), ", ")))
        ->capture_default_str()
        ->type_name("GPU");
    add_study_options(*command, o->study);
    command->add_flag("--by-op", o->by_op, "Print the time of each op, and its time at the device's peaks");
    command->add_flag("--json", o->json, "Print one JSON object on stdout");
    command->footer(
        fmt::format("Examples: {0} predict --device h100 --model bert-base --batch 256 --by-op\n"
                    "          {0} predict --device a100 --model bert-large --method sctd --batch 32 --sequence 512",
                    app.get_name()));
    command->callback([o] { run(*o); });
}

}  // namespace dropforge
