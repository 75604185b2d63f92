#include "model/run/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/run/memory_fit.h"

namespace dropforge {

namespace {

constexpr double kMega = 1e6;

double mega(int64_t bytes) { return static_cast<double>(bytes) / kMega; }

/// The kinds of step that the run has.
std::vector<StepKind> kinds_of(const Method& method) {
    std::vector<StepKind> kinds;
    for (uint32_t i = 0; i < method.kinds().size(); ++i)
        if (method.count(StepKind{i}) > 0) kinds.push_back(StepKind{i});
    return kinds;
}

bool has_pairs(const RunConfig& config) { return config.data.pairs != data::Pairs::none; }

StepOptions step_options(const RunPlan& plan) {
    const RunConfig& config = plan.config;
    const TrainOptions& train = config.train;
    return {.batch = train.batch,
            .micro_batch = train.micro_batch,
            .sequence = config.data.sequence,
            .masked = config.data.predictions(),
            .types = has_pairs(config),
            .lengths = has_pairs(config),
            .heads = pretraining_losses(has_pairs(config)),
            .dtype = plan.precision.dtype,
            .optimizer = {.kind = train.optimizer == OptimizerKind::lamb ? ops::Optimizer::lamb : ops::Optimizer::adamw,
                          .weight_decay = static_cast<float>(train.weight_decay),
                          .beta1 = static_cast<float>(train.beta1),
                          .beta2 = static_cast<float>(train.beta2),
                          .epsilon = static_cast<float>(train.epsilon),
                          .clip = static_cast<float>(train.clip)},
            .seed = static_cast<uint64_t>(train.seed),
            .method = plan.method,
            .kinds = plan.kinds};
}

RunConfig validated(RunConfig config) {
    config.validate();
    return config;
}

/// Ids, labels, positions and weights of the batches that the loader keeps; of pairs types, lengths and labels too.
int64_t batch_bytes(const RunConfig& config) {
    constexpr int64_t kBatches = 6;  // the loader's ring and an evaluation's
    const int64_t of_pairs = has_pairs(config) ? config.data.sequence + 2 : 0;
    return kBatches * config.train.batch * (config.data.sequence + 3 * config.data.predictions() + of_pairs) * 4;
}

/// The precision that asks for a dtype.
Precision precision_of(DType dtype) {
    return dtype == DType::f32 ? Precision::f32 : dtype == DType::bf16 ? Precision::bf16 : Precision::fp16;
}

}  // namespace

ResolvedPrecision resolve_precision(Precision precision, const Device& device, bool kept) {
    const bool gpu = device.kind == "cuda";
    const char* why = kept ? "as the run began" : "as asked for";
    switch (precision) {
        case Precision::f32:
            return {DType::f32, fmt::format("f32, {}", why)};
        case Precision::bf16:
            require_computes(device, DType::bf16);
            return {DType::bf16,
                    fmt::format("bf16, {}{}", why,
                                device.bf16 ? "" : "; this CPU has no fast bf16 GEMM instructions, f32 is faster")};
        case Precision::fp16:
            require_computes(device, DType::fp16);
            return {DType::fp16, fmt::format("fp16 with a loss scale, {}", why)};
        case Precision::automatic:
            break;
    }
    if (device.bf16) return {DType::bf16, fmt::format("bf16: this {} computes it", gpu ? "GPU" : "CPU")};
    if (!gpu) return {DType::f32, "f32: this CPU has no fast bf16 GEMM instructions"};
    return {DType::fp16, fmt::format("fp16 with a loss scale: compute capability {}.{} has no bf16",
                                     device.compute_capability / 10, device.compute_capability % 10)};
}

RunPlan::RunPlan(const RunConfig& given, Device on, std::vector<StepKind> wanted)
    : config(validated(given)),
      device(std::move(on)),
      precision(resolve_precision(config.train.precision, device, config.kept.contains("train.precision"))),
      automatic_micro_batch(config.train.micro_batch == 0),
      parameters(config.model, Heads(pretraining_losses(has_pairs(config)))),
      method(config.method()),
      kinds(wanted.empty() ? kinds_of(*method) : std::move(wanted)),
      programs(std::make_shared<const StepPrograms>(planned_steps())),
      evaluation(Evaluator::program(parameters, evaluation_options())) {
    config.train.precision = precision_of(precision.dtype);
    if (!config.train.tf32) return;
    device = with_tf32(std::move(device), precision.dtype);
    precision.reason += "; GEMMs in TF32, whose operands have 10 bits of fraction";
}

StepPrograms RunPlan::planned_steps() {
    if (!automatic_micro_batch) return planned_passes();
    const auto fits = [&](const StepPrograms& steps) {
        const int64_t evaluation_bytes =
            PlannedProgram(Evaluator::program(parameters, evaluation_options())).plan.bytes;
        return memory_with(std::max(steps.arena_bytes(), evaluation_bytes)) <= device.available;
    };
    for (const int64_t divisor : divisors(config.train.batch)) {
        config.train.micro_batch = divisor;
        StepPrograms steps = planned_passes();
        if (divisor == 1 || fits(steps)) return steps;
    }
    throw Error("train.batch is {}: there is nothing to train on", config.train.batch);
}

StepPrograms RunPlan::planned_passes() const {
    StepOptions options = step_options(*this);
    options.keep_gelu = config.train.gelu_output != GeluOutput::recompute;
    if (config.train.gelu_output != GeluOutput::automatic) return {parameters, options};
    if (device.kind != "cpu") {
        StepPrograms keeping(parameters, options);
        if (memory_with(keeping.arena_bytes()) <= device.available - device.available / 10) return keeping;
    }
    options.keep_gelu = false;
    return {parameters, options};
}

EvaluationOptions RunPlan::evaluation_options() const {
    return {.batch = config.train.micro_batch,
            .sequence = config.data.sequence,
            .max_predictions = config.data.predictions(),
            .mask_probability = config.data.mask_probability,
            .pairs = config.data.pairs,
            .short_sequences = config.data.short_sequences,
            .sequences = config.eval.sequences,
            .dtype = precision.dtype,
            .method = method};
}

int64_t RunPlan::arena_bytes() const { return std::max(programs->arena_bytes(), evaluation.plan.bytes); }

int64_t RunPlan::memory_with(int64_t arena) const {
    return TrainedStates::bytes(parameters, precision.dtype) + arena + batch_bytes(config) + device.reserve;
}

int64_t RunPlan::memory_bytes() const { return memory_with(arena_bytes()); }

double RunPlan::flops_per_sequence(StepKind kind) const {
    return programs->flops(kind) / static_cast<double>(programs->options.batch);
}

double RunPlan::flops_per_sequence() const {
    double sum = 0;
    for (const StepPrograms::Passes& passes : programs->passes)
        sum += flops_per_sequence(passes.kind) * static_cast<double>(method->count(passes.kind));
    return sum / static_cast<double>(config.train.steps);
}

/// " (dense 4.00, dropping 5.00, align 7.00)", times 10^9, where there is more than one kind; of many the first and
/// last.
std::string RunPlan::flops_by_kind() const {
    constexpr size_t kShown = 4;
    const std::vector<StepPrograms::Passes>& passes = programs->passes;
    if (passes.size() == 1) return {};
    std::string list;
    for (size_t i = 0; i < passes.size(); ++i) {
        if (passes.size() > kShown && i == 2) list += ", …";
        if (passes.size() > kShown && i >= 2 && i + 1 < passes.size()) continue;
        list += fmt::format("{}{} {:.2f}", list.empty() ? " (" : ", ", method->kind_name(passes[i].kind),
                            flops_per_sequence(passes[i].kind) / 1e9);
    }
    return list + ')';
}

std::string RunPlan::precision_note() const {
    if (!config.kept.contains("train.precision")) return {};
    const ResolvedPrecision automatic = resolve_precision(Precision::automatic, device);
    if (automatic.dtype == precision.dtype) return {};
    return fmt::format("the run goes on in {}, as it began; auto would be {}", name_of(precision.dtype),
                       automatic.reason);
}

std::string RunPlan::text() const {
    const BertConfig& model = config.model;
    const TrainOptions& train = config.train;
    std::string lines;
    lines +=
        fmt::format("model      {} layers, hidden {}, {} heads, vocabulary {}: {:.2f} M parameters\n", model.layers,
                    model.hidden, model.heads, model.vocabulary, static_cast<double>(parameters.count()) / kMega);
    lines += fmt::format("device     {}: {}\n", device.kind, device.text);
    lines += fmt::format("precision  {}\n", precision.reason);
    lines += fmt::format("step       {} sequences of {} tokens, {} masked each, {} at a time{}; {} steps, {}, lr {}\n",
                         train.batch, config.data.sequence, config.data.predictions(), train.micro_batch,
                         automatic_micro_batch && train.micro_batch < train.batch ? ", as many as fit into memory" : "",
                         train.steps, train.optimizer == OptimizerKind::lamb ? "LAMB" : "AdamW", train.lr);
    if (has_pairs(config))
        lines += fmt::format("pairs      {}\n", config.data.pairs == data::Pairs::next_sentence
                                                    ? "half with a random next sentence"
                                                    : "half of them swapped");
    lines += fmt::format("method     {}\n", method->text());
    lines += fmt::format("FLOPs      {:.2f} G a sequence{}, {:.1f} G a step\n", flops_per_sequence() / 1e9,
                         flops_by_kind(), flops_per_sequence() * static_cast<double>(train.batch) / 1e9);
    lines += fmt::format(
        "memory     parameters and optimizer {:.1f} MB, activations {:.1f} MB (lower bound {:.1f}), batches {:.1f} "
        "MB{}; {} available\n",
        mega(TrainedStates::bytes(parameters, precision.dtype)), mega(arena_bytes()),
        mega(std::max(programs->arena_lower_bound(), evaluation.plan.lower_bound)), mega(batch_bytes(config)),
        reserve_text(), available_text());
    return lines;
}

nlohmann::ordered_json RunPlan::json() const {
    return {{"parameters", parameters.count()},
            {"precision", precision_name()},
            {"micro_batch", config.train.micro_batch},
            {"flops_per_sequence", flops_per_sequence()},
            {"flops_per_step", flops_per_sequence() * static_cast<double>(config.train.batch)},
            {"state_bytes", TrainedStates::bytes(parameters, precision.dtype)},
            {"activation_bytes", arena_bytes()},
            {"memory_bytes", memory_bytes()},
            {"available_bytes", device.available}};
}

/// ", kernels and their scratch 390", where the device counts that.
std::string RunPlan::reserve_text() const {
    return device.reserve == 0 ? "" : fmt::format(", kernels and their scratch {:.0f}", mega(device.reserve));
}

/// "8000 MB", of a GPU "8000 of 80000 MB".
std::string RunPlan::available_text() const {
    return device.memory == 0 ? fmt::format("{:.0f} MB", mega(device.available))
                              : fmt::format("{:.0f} of {:.0f} MB", mega(device.available), mega(device.memory));
}

void RunPlan::require_fit() const {
    if (memory_bytes() <= device.available) return;
    const bool others = device.available < device.memory - device.memory / 10;
    throw Error(
        "the run needs {:.0f} MB of memory with {} of its {} sequences at a time (parameters and optimizer {:.0f}, "
        "activations {:.0f}, batches {:.0f}{}), {} are available{}; {}",
        mega(memory_bytes()), config.train.micro_batch, config.train.batch,
        mega(TrainedStates::bytes(parameters, precision.dtype)), mega(arena_bytes()), mega(batch_bytes(config)),
        reserve_text(), available_text(), others ? ", other processes hold the rest (nvidia-smi lists them)" : "",
        way_to_fit());
}

/// What is left to do, for the end of an error.
std::string RunPlan::way_to_fit() const {
    if (config.kept.contains("train.micro_batch"))
        return fmt::format("a run goes on with the train.micro_batch that it began with ({}), or is another run",
                           config.train.micro_batch);
    if (config.train.micro_batch > 1) {
        RunConfig automatic = config;
        automatic.train.micro_batch = 0;
        const RunPlan most(automatic, device);
        if (most.memory_bytes() <= most.device.available)
            return fmt::format("train.micro_batch = {} fits, which 0 finds by itself", most.config.train.micro_batch);
    }
    const std::string smaller = what_would_fit(*this);
    return smaller.empty() ? "not even the smallest model would fit" : smaller + " would fit";
}

void take_vocabulary(RunConfig& config, const data::Dataset& dataset, const data::Vocabulary& vocabulary) {
    config.data.path = dataset.folder().string();
    config.model.vocabulary = vocabulary.size();
    config.model.special = vocabulary.special();
}

}  // namespace dropforge
