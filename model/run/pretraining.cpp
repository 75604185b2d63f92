#include "model/run/pretraining.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "data/batches/loader.h"
#include "data/text/utf8.h"
#include "kernels/gemm_peak.h"
#include "model/checkpoint/checkpoint.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/tokenizer_files.h"
#include "model/run/inputs.h"
#include "model/run/plateau.h"
#include "model/run/pretraining_metrics.h"

namespace dropforge {

namespace {

constexpr const char* kPlateauFile = "plateau.txt";  // what was said of a loss that stands: a run says it once

/// BERT on masked tokens, as a task of a training run.
class Pretraining : public TrainingTask {
  public:
    Pretraining(const PretrainOptions& options, RunInputs& inputs, ProgressLine& line);

    void initialize() override;
    int64_t restore(const fs::path& checkpoint) override;
    void save(const fs::path& folder) override;

    void start() override;
    bool may_queue() const override { return step_.may_queue(); }
    void queue(int64_t step) override;
    StepOutcome collect() override;

    StepProgress progress(const TrainingSpeed& speed) const override;
    MetricsLine end_interval(const TrainingSpeed& speed) override;
    void evaluate(MetricsLog& log) override;

    double flops(StepKind kind) const override { return step_.programs().flops(kind); }
    double measure_gemm_peak() const override;
    double seconds_waited() const override { return loader_->seconds_waited(); }
    std::vector<kernels::KernelChoice> kernel_choices() const override { return step_.kernel_choices(); }
    std::vector<std::string> take_notes() override { return step_.take_notes(); }
    std::vector<Executor*> executors() override { return step_.executors(); }
    void profile(bool on) override { step_.profile(on); }

    /// The last one of this process; NaN if there was none.
    const EvaluationResult& last_evaluation() const { return last_evaluation_; }

  private:
    void take_initial_weights();
    void set_method_states();
    void require_tokenizer(const fs::path& model);
    void explain_plateau(double loss);
    void note(const std::vector<std::string>& notes);

    const PretrainOptions& options_;
    RunPlan& plan_;
    const RunConfig& config_;
    RunInputs& inputs_;
    ProgressLine& line_;
    TrainingStep step_;
    TrainingState state_;
    StepOutcome last_ = {};  // of the steps that were collected
    std::optional<data::Loader> loader_;
    std::optional<Evaluator> evaluator_;
    std::optional<ForwardPass> evaluation_;
    std::optional<PlateauWatch> plateau_;  // until it has been said
    EvaluationResult last_evaluation_ = {.loss = std::numeric_limits<double>::quiet_NaN(),
                                         .accuracy = std::numeric_limits<double>::quiet_NaN()};
};

Pretraining::Pretraining(const PretrainOptions& options, RunInputs& inputs, ProgressLine& line)
    : options_(options),
      plan_(inputs.plan),
      config_(inputs.plan.config),
      inputs_(inputs),
      line_(line),
      step_{plan_.parameters, plan_.programs, *plan_.device.kernels, plan_.arena_bytes()} {
    state_.config = config_.to_toml();
    state_.data = data::hex(inputs_.training.fingerprint());
    state_.revision = options_.revision;
    state_.kernels = plan_.device.kernels->name;
    if (const std::string text = plan_.precision_note(); !text.empty()) line_.note(text);
}

/// Fresh weights, or those of --init.
void Pretraining::initialize() {
    plan_.parameters.initialize(step_.values(), static_cast<uint64_t>(config_.train.seed));
    set_method_states();
    step_.store_states();
    state_.initial = TrainingState::kDrawn;
    if (!options_.initial.empty()) take_initial_weights();
}

void Pretraining::take_initial_weights() {
    require_intact(options_.initial);
    require(is_model(options_.initial), "{}: No such file", (options_.initial / "config.json").string());
    require_tokenizer(options_.initial);
    note(load_initial_weights(options_.initial, plan_.parameters, step_));
    state_.initial = weights_fingerprint(options_.initial);
    state_.initial_path = options_.initial.string();
    data::replace_invalid_utf8(state_.initial_path);  // a path may be any bytes, metadata are UTF-8
}

int64_t Pretraining::restore(const fs::path& checkpoint) {
    const std::string name = checkpoint.string();
    const TrainingState saved = load_training_state(checkpoint);
    const std::string difference = config_.difference(RunConfig::from_toml(saved.config, name));
    require(difference.empty(), "{}: a checkpoint of another run: {}", name, difference);
    require_begun_with(options_.initial, saved, checkpoint);
    require_tokenizer(checkpoint);
    require(saved.data == state_.data,
            "{}: a checkpoint of a run on other data: its training split has the fingerprint {}, that of {} has {}",
            name, saved.data, config_.data.path, state_.data);
    note(written_otherwise(saved, state_));
    const TrainingState now = state_;
    state_ = load_checkpoint(checkpoint, plan_.parameters, step_);
    state_.config = now.config;
    state_.revision = now.revision;
    state_.kernels = now.kernels;
    return state_.step;
}

void Pretraining::save(const fs::path& folder) {
    save_checkpoint(folder, plan_.parameters, step_, state_, inputs_.vocabulary, inputs_.training.normalization());
}

void Pretraining::require_tokenizer(const fs::path& model) {
    note(require_same_tokenizer(model, config_.data.path, inputs_.vocabulary, inputs_.training.normalization()));
}

/// Sets the states of the method to what they are before the first step.
void Pretraining::set_method_states() {
    const TokenCounts counts = [this] { return data::token_counts(inputs_.training); };
    for (const MethodState& state : plan_.method->states())
        std::ranges::copy(plan_.method->initial_state(state.name, counts), step_.state(state.name).begin());
}

void Pretraining::note(const std::vector<std::string>& notes) {
    for (const std::string& text : notes) line_.note(text);
}

void Pretraining::start() {
    if (config_.eval.every > 0 && inputs_.has_validation()) {
        evaluator_.emplace(plan_.parameters, inputs_.validation, inputs_.vocabulary.special(),
                           plan_.evaluation_options());
        evaluation_.emplace(plan_.parameters, plan_.evaluation, step_.resources(), plan_.method.get());
    } else if (config_.eval.every > 0) {
        line_.note(config_.data.pairs != data::Pairs::none
                       ? "no evaluation: the validation split has fewer than 2 documents"
                       : fmt::format("no evaluation: the validation split has less than one sequence of {} tokens",
                                     config_.data.sequence));
    }
    loader_.emplace(inputs_.training, inputs_.vocabulary.special(),
                    loader_options(inputs_.plan.config, *inputs_.plan.method), static_cast<uint64_t>(state_.step));
    if (!fs::exists(options_.out / kPlateauFile))
        plateau_.emplace(config_.train, inputs_.training.unigram_entropy(), state_.step);
}

void Pretraining::queue(int64_t step) {
    step_.queue(
        loader_->next(),
        {.step = step, .kind = plan_.method->kind(step), .learning_rate = config_.train.learning_rate().at(step)});
}

StepOutcome Pretraining::collect() {
    last_ = step_.collect();
    plan_.method->add_up(last_.info, last_.result.numbers, state_.interval);
    state_.step = last_.settings.step;
    return last_;
}

StepProgress Pretraining::progress(const TrainingSpeed& speed) const {
    const StepMetrics metrics = step_metrics(plan_, last_, state_.interval, speed);
    return {.loss = metrics.loss,
            .unigram_entropy = inputs_.training.unigram_entropy(),
            .accuracy = metrics.mlm_accuracy,
            .nsp_accuracy =
                metrics.extras.has("nsp_accuracy") ? std::optional(metrics.extras["nsp_accuracy"]) : std::nullopt,
            .lr = metrics.lr,
            .sequences_per_second = metrics.sequences_per_second};
}

MetricsLine Pretraining::end_interval(const TrainingSpeed& speed) {
    const StepMetrics metrics = step_metrics(plan_, last_, state_.interval, speed);
    state_.interval = {};
    if (plateau_ && plateau_->stands(metrics.step, metrics.loss)) explain_plateau(metrics.loss);
    return metrics;
}

/// Reads some of the data.
void Pretraining::explain_plateau(double loss) {
    const std::string text = plateau_text(config_.train, loss, inputs_.training.unigram_entropy(), plateau_->since(),
                                          DataSigns::of(inputs_.training));
    write_text(options_.out / kPlateauFile, text + "\n");
    line_.note("note: " + text);
    plateau_.reset();
}

void Pretraining::evaluate(MetricsLog& log) {
    const double start = monotonic_seconds();
    const EvaluationResult result = evaluator_->run(*evaluation_);
    log.write(EvalMetrics{.step = state_.step,
                          .eval_loss = result.loss,
                          .eval_accuracy = result.accuracy,
                          .pairs = result.pairs,
                          .time = unix_seconds(),
                          .eval_seconds = monotonic_seconds() - start});
    line_.note(fmt::format(
        "step {}  validation: loss {:.4f}, accuracy {:.4f} (most frequent token: {:.4f}){}", state_.step, result.loss,
        result.accuracy, inputs_.validation.top_token_share(),
        result.pairs ? fmt::format("; pairs: loss {:.4f}, accuracy {:.4f}", result.pairs->loss, result.pairs->accuracy)
                     : ""));
    last_evaluation_ = result;
}

double Pretraining::measure_gemm_peak() const {
    return 1e9 * kernels::gemm_peak_gflops(*plan_.device.kernels, plan_.precision.dtype);
}

}  // namespace

RunPlan plan_pretraining(const RunConfig& config, const Device& device) {
    return std::move(RunInputs(config, device).plan);
}

PretrainResult pretrain(const PretrainOptions& options) {
    RunInputs inputs = open_inputs(options);
    RunFolder folder(options.out, inputs.plan.config, options.resume != "off");
    ProgressLine line(stderr, options.quiet);
    Pretraining task(options, inputs, line);
    TrainingRun run(options, inputs.schedule(), folder, line, task);
    if (run.finished()) {
        line.note(fmt::format("the run has done {} of {} steps: nothing to do (--steps N trains on)", run.step(),
                              inputs.plan.config.train.steps));
    } else {
        run.train();
    }
    return {.checkpoint = run.checkpoint(),
            .step = run.step(),
            .loss = task.last_evaluation().loss,
            .accuracy = task.last_evaluation().accuracy};
}

}  // namespace dropforge
