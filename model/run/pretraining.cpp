#include "model/run/pretraining.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "data/batches/loader.h"
#include "data/text/utf8.h"
#include "engine/trace.h"
#include "kernels/device_lost.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/tokenizer_files.h"
#include "model/run/folder.h"
#include "model/run/inputs.h"
#include "model/run/kernel_report.h"
#include "model/run/meter.h"
#include "model/run/metrics.h"
#include "model/run/plateau.h"

namespace dropforge {

namespace {

constexpr const char* kPlateauFile = "plateau.txt";  // what was said of a loss that stands: a run says it once

data::LoaderOptions loader_options(const RunConfig& c) {
    return {.seed = static_cast<uint64_t>(c.train.seed),
            .batch = c.train.batch,
            .length = c.data.sequence,
            .max_predictions = c.data.predictions(),
            .mask_probability = c.data.mask_probability,
            .dynamic = c.data.masking == Masking::dynamic,
            .whole_word = c.data.whole_word};
}

class Pretraining {
  public:
    Pretraining(const PretrainOptions& options, RunInputs& inputs)
        : options_(options),
          plan_(inputs.plan),
          config_(inputs.plan.config),
          inputs_(inputs),
          folder_(options.out, config_, options.resume != "off"),
          step_{plan_.parameters, std::move(plan_.programs), *plan_.device.kernels, plan_.arena_bytes()},
          line_(stderr, options.quiet) {
        load();
        if (finished()) return;
        check_profiled_steps(options, state_.step);
        prepare_reports();
    }

    /// DeviceLost with the step that was the last, and what stays.
    PretrainResult run();

  private:
    PretrainResult run_steps();
    std::string what_stays() const;
    void load();
    void prepare_reports();
    void begin();
    void note(const std::vector<std::string>& notes);
    void require_tokenizer(const fs::path& model);
    bool finished() const { return state_.step >= config_.train.steps; }
    void set_method_states();
    void queue_step(int64_t step, data::Loader& loader);
    void finish_step();
    void take_kernels(StepKind kind);
    void after_step(int64_t start, int signal);
    bool pauses_after(int64_t step, int64_t start) const;
    void require_finite(const char* what, double value, int64_t step) const;
    void report(int64_t step, bool log);
    void explain_plateau(double loss);
    void evaluate(int64_t step);
    void save(int64_t step);
    void trace(int64_t step);
    void profile_from(int64_t next);
    bool due(int64_t every, int64_t step) const {
        return every > 0 && (step % every == 0 || step == config_.train.steps);
    }

    const PretrainOptions& options_;
    RunPlan& plan_;
    const RunConfig& config_;
    RunInputs& inputs_;
    RunFolder folder_;
    TrainingStep step_;
    ProgressLine line_;
    TrainingState state_;
    PretrainResult result_{.loss = std::numeric_limits<double>::quiet_NaN(),
                           .accuracy = std::numeric_limits<double>::quiet_NaN()};
    std::optional<MetricsLog> metrics_;
    std::optional<Evaluator> evaluator_;
    std::optional<ForwardPass> evaluation_;
    std::optional<StepMeter> meter_;
    std::optional<PlateauWatch> plateau_;  // until it has been said
    StepReport report_;                    // of the last step
    std::vector<StepKind> seen_;           // kinds that have run
};

/// Weights and position: of a checkpoint, of --init, or fresh ones.
void Pretraining::load() {
    state_.config = config_.to_toml();
    state_.data = data::hex(inputs_.training.fingerprint());
    state_.revision = options_.revision;
    state_.kernels = plan_.device.kernels->name;
    if (const std::string note = plan_.precision_note(); !note.empty()) line_.note(note);
    if (options_.resume != "off") {
        if (const auto checkpoint = find_checkpoint(options_.out, options_.resume)) {
            const TrainingState there = load_training_state(checkpoint->path);
            const std::string difference =
                config_.difference(RunConfig::from_toml(there.config, checkpoint->path.string()));
            require(difference.empty(), "{}: a checkpoint of another run: {}", checkpoint->path.string(), difference);
            require_begun_with(options_.initial, there, checkpoint->path);
            require_tokenizer(checkpoint->path);
            require(there.data == state_.data,
                    "{}: a checkpoint of a run on other data: its training split has the fingerprint {}, that of {} "
                    "has {}",
                    checkpoint->path.string(), there.data, config_.data.path, state_.data);
            note(written_otherwise(there, state_));
            const TrainingState here = state_;
            state_ = load_checkpoint(checkpoint->path, plan_.parameters, step_);
            state_.config = here.config, state_.revision = here.revision, state_.kernels = here.kernels;
            result_.checkpoint = checkpoint->path;
            line_.note(fmt::format("resumed after step {} from {}", state_.step, checkpoint->path.string()));
            return;
        }
    }
    plan_.parameters.initialize(step_.values(), static_cast<uint64_t>(config_.train.seed));
    set_method_states();
    step_.store_states();
    state_.initial = TrainingState::kDrawn;
    if (options_.initial.empty()) return;
    require_whole(options_.initial);
    require(is_model(options_.initial), "{}: No such file", (options_.initial / "config.json").string());
    require_tokenizer(options_.initial);
    note(load_initial_weights(options_.initial, plan_.parameters, step_));
    state_.initial = weights_fingerprint(options_.initial);
    state_.initial_path = options_.initial.string();
    data::replace_invalid_utf8(state_.initial_path);  // a path may be any bytes, metadata are UTF-8
}

void Pretraining::require_tokenizer(const fs::path& model) {
    note(require_same_tokenizer(model, config_.data.path, inputs_.vocabulary, inputs_.training.normalization()));
}

/// As they are before the first step.
void Pretraining::set_method_states() {
    const TokenCounts counts = [this] { return data::token_counts(inputs_.training); };
    for (const MethodState& state : plan_.method->states())
        std::ranges::copy(plan_.method->initial_state(state.name, counts), step_.state(state.name).begin());
}

void Pretraining::prepare_reports() {
    if (config_.eval.every > 0 && inputs_.validation.sequences(config_.data.sequence) > 0) {
        evaluator_.emplace(plan_.parameters, inputs_.validation, inputs_.vocabulary.special(),
                           plan_.evaluation_options());
        evaluation_.emplace(plan_.parameters, std::move(plan_.evaluation), step_.resources());
    } else if (config_.eval.every > 0) {
        line_.note(fmt::format("no evaluation: the validation split has less than one sequence of {} tokens",
                               config_.data.sequence));
    }
}

/// Nothing of the run's folder was changed so far. When its first step is done, nothing that a start can meet is left.
void Pretraining::begin() {
    const double start = monotonic_seconds();
    const int64_t before = state_.step;
    const auto open_metrics = [&] { metrics_.emplace(options_.out, before, config_.log.tensorboard); };
    for (const fs::path& later : folder_.begin(before, open_metrics)) line_.note("set aside: " + later.string());
    note(folder_.take_notes());
    meter_->leave_out(monotonic_seconds() - start);
}

void Pretraining::note(const std::vector<std::string>& notes) {
    for (const std::string& text : notes) line_.note(text);
}

/// Of a run that stops.
std::string Pretraining::what_stays() const {
    return result_.checkpoint.empty() ? "has no checkpoint"
                                      : "its last checkpoint stays: " + result_.checkpoint.string();
}

void Pretraining::require_finite(const char* what, double value, int64_t step) const {
    require(std::isfinite(value), "step {}: the {} is {}; the run stops and {}", step, what, value, what_stays());
}

void Pretraining::queue_step(int64_t step, data::Loader& loader) {
    step_.queue(
        loader.next(),
        {.step = step, .kind = plan_.method->kind(step), .learning_rate = config_.train.learning_rate().at(step)});
    report_.seconds_waited = loader.seconds_waited();
}

/// Takes the results of the oldest step that is queued.
void Pretraining::finish_step() {
    const StepOutcome outcome = step_.collect();
    const auto& [settings, info, result, norm, loss_scale] = outcome;
    require_finite("loss", result.loss, settings.step);
    const bool overflow = loss_scale && *loss_scale > kernels::LossScale::kLeast;  // the scale is being found
    if (!overflow) require_finite("gradient norm", norm, settings.step);
    report_.learning_rate = settings.learning_rate;
    report_.gradient_norm = norm;
    report_.loss_scale = loss_scale;
    if (std::ranges::count(seen_, settings.kind) == 0) take_kernels(settings.kind);
    state_.step = settings.step;
    meter_->count(outcome, step_.programs().flops(settings.kind));
}

/// After the first step of a kind: kernels.tsv says what serves its operations. The first of all begins the run.
void Pretraining::take_kernels(StepKind kind) {
    seen_.push_back(kind);
    note(step_.take_notes());
    const std::vector<kernels::KernelChoice> choices = step_.kernel_choices();
    check_requirements(options_.required, choices);
    if (!metrics_) begin();
    if (!choices.empty()) write_text(options_.out / "kernels.tsv", kernel_table(choices));
}

void Pretraining::report(int64_t step, bool log) {
    const StepMetrics m = meter_->metrics(step, report_);
    line_.show({.step = step,
                .steps = config_.train.steps,
                .loss = m.loss,
                .unigram_entropy = inputs_.training.unigram_entropy(),
                .accuracy = m.mlm_accuracy,
                .lr = m.lr,
                .sequences_per_second = m.sequences_per_second,
                .mfu = m.mfu,
                .seconds_left = meter_->seconds_left(m)},
               log);
    if (!log) return;
    metrics_->write(m);
    meter_->next_interval(step, report_);
    if (plateau_ && plateau_->stands(step, m.loss)) explain_plateau(m.loss);
}

/// Reads some of the data, which is not the training's time.
void Pretraining::explain_plateau(double loss) {
    const double start = monotonic_seconds();
    const std::string text = plateau_text(config_.train, loss, inputs_.training.unigram_entropy(), plateau_->since(),
                                          DataSigns::of(inputs_.training));
    write_text(options_.out / kPlateauFile, text + "\n");
    line_.note("note: " + text);
    plateau_.reset();
    meter_->leave_out(monotonic_seconds() - start);
}

void Pretraining::evaluate(int64_t step) {
    const double start = monotonic_seconds();
    const EvaluationResult r = evaluator_->run(*evaluation_);
    const double seconds = monotonic_seconds() - start;
    meter_->leave_out(seconds);
    metrics_->write(EvalMetrics{.step = step,
                                .eval_loss = r.loss,
                                .eval_accuracy = r.accuracy,
                                .time = unix_seconds(),
                                .eval_seconds = seconds});
    line_.note(fmt::format("step {}  validation: loss {:.4f}, accuracy {:.4f} (most frequent token: {:.4f})", step,
                           r.loss, r.accuracy, inputs_.validation.top_token_share()));
    result_.loss = r.loss;
    result_.accuracy = r.accuracy;
}

void Pretraining::save(int64_t step) {
    const double start = monotonic_seconds();
    metrics_->sync();
    CheckpointWriter writer(folder_, step);
    save_checkpoint(writer.path(), plan_.parameters, step_, state_, inputs_.training.vocabulary_path(),
                    inputs_.training.normalization());
    result_.checkpoint = writer.commit().path;
    folder_.prune(config_.checkpoint.keep_last, config_.checkpoint.keep_every);
    note(folder_.take_notes());
    meter_->leave_out(monotonic_seconds() - start);
}

/// Clocks the first options_.trace_steps steps of this process and writes them to trace.json.
void Pretraining::trace(int64_t step) {
    const auto executors = step_.executors();
    const bool last = step == options_.trace_steps;
    if (step == 0)
        for (Executor* e : executors) e->clock(true, true);
    if (!last) return;
    write_trace(options_.out / "trace.json", std::vector<const Executor*>(executors.begin(), executors.end()));
    for (Executor* e : executors) e->clock(false);
}

/// Turns the profiler on before the first step it is to see, and off after the last.
void Pretraining::profile_from(int64_t next) {
    if (next == options_.profile_first) step_.profile(true);
    if (next == options_.profile_last + 1 && options_.profile_last > 0) step_.profile(false);
}

/// Whether something follows the step that must see the states as the step leaves them.
bool Pretraining::pauses_after(int64_t step, int64_t start) const {
    return (evaluator_ && due(config_.eval.every, step)) || due(config_.checkpoint.every, step) ||
           step - start == options_.trace_steps || step + 1 == options_.profile_first || step == options_.profile_last;
}

void Pretraining::after_step(int64_t start, int signal) {
    const int64_t step = state_.step;
    report(step, due(config_.log.every, step));
    profile_from(step + 1);
    if (options_.trace_steps > 0 && step - start <= options_.trace_steps) trace(step - start);
    if (evaluator_ && due(config_.eval.every, step)) evaluate(step);
    if (finished() || due(config_.checkpoint.every, step) || signal != 0) save(step);
    if (finished() || signal == 0) return;
    line_.note(fmt::format("interrupted after step {}; its checkpoint is written", step));
    throw Interrupted{signal};
}

PretrainResult Pretraining::run() {
    try {
        return run_steps();
    } catch (const kernels::DeviceLost& lost) {
        line_.finish();
        throw kernels::DeviceLost("after step {}: {}; the run stops and {}", state_.step, lost.what(), what_stays());
    }
}

PretrainResult Pretraining::run_steps() {
    result_.step = state_.step;
    if (finished()) {
        line_.note(fmt::format("the run has done {} of {} steps: nothing to do (--steps N trains on)", state_.step,
                               config_.train.steps));
        return result_;
    }
    const InterruptGuard interrupt;
    data::Loader loader(inputs_.training, inputs_.vocabulary.special(), loader_options(config_),
                        static_cast<uint64_t>(state_.step));
    if (options_.trace_steps > 0) trace(0);
    const int64_t start = state_.step;
    profile_from(start + 1);
    meter_.emplace(plan_, state_.interval, start);
    if (!fs::exists(options_.out / kPlateauFile))
        plateau_.emplace(config_.train, inputs_.training.unigram_entropy(), start);
    for (int64_t next = start + 1; !finished();) {
        // A device gets a step while it works on the one before, unless something comes in between.
        while (next <= config_.train.steps && step_.may_queue() &&
               (step_.queued() == 0 || (interrupt.signal() == 0 && !pauses_after(next - 1, start))))
            queue_step(next++, loader);
        finish_step();
        after_step(start, step_.queued() == 0 ? interrupt.signal() : 0);
    }
    line_.finish();
    result_.step = state_.step;
    return result_;
}

}  // namespace

RunPlan plan_pretraining(const RunConfig& config, const Device& device) {
    return std::move(RunInputs(config, device).plan);
}

PretrainResult pretrain(const PretrainOptions& options) {
    RunInputs inputs = open_inputs(options);
    return Pretraining(options, inputs).run();
}

}  // namespace dropforge
