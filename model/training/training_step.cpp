#include "model/training/training_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "model/training/bindings.h"

namespace dropforge {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

double sum(std::span<const float> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

std::vector<const Program*> passes_of(const StepPrograms& programs) {
    std::vector<const Program*> all;
    for (const PlannedProgram* p : programs.all())
        if (p != &programs.update) all.push_back(&p->program);
    return all;
}

/// What a pass, and an update, exchanges with the host in every step: all that is no state.
bool is_exchanged(std::string_view name) {
    return !names_parameter(name) && name != "loss_scale" && name != "importance" && name != "importance_sums" &&
           name != "importance_counts";
}
bool update_exchanges(std::string_view name) {
    return name == "gradient_norm" || name == "update_scalars" || name == "scaled_scalars";
}

}  // namespace

int64_t state_bytes(const Parameters& parameters, DType dtype) {
    return parameters.size() * (4 * kFloat + (dtype == DType::f32 ? 0 : static_cast<int64_t>(size_of(dtype))));
}

TrainingStep::TrainingStep(const Parameters& parameters, StepPrograms programs, const kernels::KernelTable& table,
                           int64_t arena_bytes)
    : programs_(std::move(programs)),
      table_(table),
      context_(table.create_context()),
      values_(parameters.size() * kFloat, *context_),
      gradients_(parameters.size() * kFloat, *context_),
      moment1_(parameters.size() * kFloat, *context_),
      moment2_(parameters.size() * kFloat, *context_),
      importance_(options_.routing ? parameters.config().vocabulary * kFloat : 0, *context_),
      loss_scale_(options_.dtype == DType::fp16 ? static_cast<int64_t>(sizeof(kernels::LossScale)) : 0, *context_),
      importance_sums_(importance_.bytes(), *context_),
      importance_counts_(importance_.bytes(), *context_),
      copy_(options_.dtype == DType::f32 ? 0 : parameters.size() * 2, *context_),
      arena_(std::max(programs_.arena_bytes(), arena_bytes), *context_),
      pass_io_(*context_, passes_of(programs_), is_exchanged, kAhead * micro_batches_),
      update_io_(*context_, {&programs_.update.program}, update_exchanges, kAhead) {
    if (kernels::LossScale* scale = loss_scale()) *scale = {};
    for (const StepPrograms::Passes& passes : programs_.passes) {
        Runners& runners = runners_.emplace_back(Runners{executor(passes.first), {}});
        if (passes.further) runners.further.emplace(executor(*passes.further));
    }
    update_.emplace(executor(programs_.update));
    for (Executor* e : executors()) {
        bind_parameters(*e, parameters, values_.device<float>(), copy_.as<uint16_t>(), gradients_.device<float>());
        bind_states(*e);
        if (e != &*update_) pass_io_.bind(*e);
    }
    update_io_.bind(*update_);
    reserve_results();
}

Executor TrainingStep::executor(const PlannedProgram& planned) {
    return {planned.program, planned.plan, arena_.as<>(), table_, *context_};
}

/// All that stays on the device from step to step.
void TrainingStep::bind_states(Executor& executor) {
    const std::pair<const char*, void*> states[] = {{"parameters", values_.device()},
                                                    {"gradients", gradients_.device()},
                                                    {"moment1", moment1_.device()},
                                                    {"moment2", moment2_.device()},
                                                    {"copy", copy_.as<>()},
                                                    {"loss_scale", loss_scale_.device()},
                                                    {"importance", importance_.device()},
                                                    {"importance_sums", importance_sums_.as<>()},
                                                    {"importance_counts", importance_counts_.as<>()}};
    for (const auto& [name, pointer] : states) bind_if_named(executor, name, pointer);
}

/// Room for what a step gives back.
void TrainingStep::reserve_results() {
    const int64_t kept = programs_.kept();
    if (options_.routing) kept_positions_.resize(static_cast<size_t>(options_.batch * kept));
    for (size_t i = 0; i < kept_positions_.size(); ++i)  // stays where no token is dropped
        kept_positions_[i] = static_cast<int32_t>(static_cast<int64_t>(i) % kept);
    position_loss_.resize(static_cast<size_t>(options_.batch * options_.masked));
}

void TrainingStep::fetch_states() {
    for (Mirrored* state : states()) state->fetch();
    gradients_.fetch();
    context_->synchronize();
}

void TrainingStep::store_states() {
    for (Mirrored* state : states()) state->store();
    if (copy_.bytes() > 0)
        table_.cast({.from = values_.device(),
                     .to = copy_.as<>(),
                     .n = values_.bytes() / kFloat,
                     .from_dtype = DType::f32,
                     .to_dtype = options_.dtype},
                    *context_);
    context_->synchronize();
}

void TrainingStep::profile(bool on) {
    require(queued_ == 0, "profiling begins and ends between steps");
    for (Executor* e : executors()) e->profile(on);
    context_->profiler(on);
}

std::vector<Executor*> TrainingStep::executors() {
    std::vector<Executor*> all;
    for (Runners& r : runners_) {
        all.push_back(&r.first);
        if (r.further) all.push_back(&*r.further);
    }
    all.push_back(&*update_);
    return all;
}

/// The inputs of the micro-batch that begins at sequence `first`; `count` masked positions are in the whole batch.
void TrainingStep::fill_inputs(const data::Batch& batch, int64_t first, const StepSettings& settings, double count) {
    const StepOptions& o = options_;
    stage_batch(pass_io_, batch, first, o.micro_batch);
    const auto set = [&](std::string_view name, double value) {
        const auto scale = static_cast<float>(value);
        pass_io_.set(name, std::span(&scale, 1));
    };
    const double share = settings.kind == StepKind::align && o.align.full_mlm ? 0.5 : 1;  // of each pass's own losses
    const double sequences = static_cast<double>(o.batch), divisor = std::max(count, 1.0);
    set("mlm_scale", share / divisor);
    set("nsp_scale", share / sequences);
    set("kl_scale", settings.lambda / (o.kl_normalization == KlNormalization::tokens ? divisor : sequences));
    const uint32_t dropout[] = {static_cast<uint32_t>(o.seed), static_cast<uint32_t>(o.seed >> 32),
                                static_cast<uint32_t>(settings.step), static_cast<uint32_t>(first)};
    pass_io_.set("dropout_state", std::span<const uint32_t>(dropout));
}

void TrainingStep::queue_backward(const data::Batch& batch, const StepSettings& settings) {
    const StepPrograms::Passes& passes = programs_.of(settings.kind);
    Runners& runners = runners_[static_cast<size_t>(&passes - programs_.passes.data())];
    check_batch(passes.first.program, batch, options_.batch, options_.sequence, options_.masked);
    const auto count = std::ranges::count_if(batch.masked_weights, [](float w) { return w > 0; });
    for (int64_t first = 0; first < options_.batch; first += options_.micro_batch) {
        pass_io_.begin();
        fill_inputs(batch, first, settings, static_cast<double>(count));
        pass_io_.run(first == 0 ? runners.first : *runners.further);
    }
}

void TrainingStep::queue_update(const StepSettings& settings) {
    const StepOptions& o = options_;
    const auto correction = [&](float beta) {
        return static_cast<float>(1 - std::pow(double{beta}, static_cast<double>(settings.step)));
    };
    const kernels::UpdateScalars scalars = {.learning_rate = static_cast<float>(settings.learning_rate),
                                            .weight_decay = o.weight_decay,
                                            .beta1 = o.beta1,
                                            .beta2 = o.beta2,
                                            .epsilon = o.epsilon,
                                            .correction1 = correction(o.beta1),
                                            .correction2 = correction(o.beta2),
                                            .clip = o.clip};
    update_io_.begin();
    update_io_.set("update_scalars", std::span(&scalars, 1));
    update_io_.run(*update_);
}

/// Of the step whose last micro-batch was begun `ago` micro-batches before the last.
StepResult TrainingStep::result(const StepSettings& settings, int64_t ago) {
    const bool align = settings.kind == StepKind::align, drops = settings.kind != StepKind::dense;
    pass_io_.finish(ago);
    const auto totals = [&](std::string_view name) {
        return pass_io_.has(name) ? pass_io_.at<float>(name, ago).data() : nullptr;
    };
    double kl_local = 0, kl_global = 0;
    for (int64_t i = 0; i < micro_batches_; ++i) {
        const int64_t its = ago + micro_batches_ - 1 - i;
        std::ranges::copy(pass_io_.at<float>("position_loss", its),
                          position_loss_.begin() + i * options_.micro_batch * options_.masked);
        if (drops && pass_io_.has("kept_positions")) {
            const auto kept = pass_io_.at<int32_t>("kept_positions", its);
            std::ranges::copy(kept, kept_positions_.begin() + i * std::ssize(kept));
        }
        if (!align) continue;
        kl_local += sum(pass_io_.at<float>("kl_local", its));
        kl_global += sum(pass_io_.at<float>("kl_global", its));
    }
    const float* mlm = totals("mlm_totals");
    StepResult r{.mlm_loss = mlm[0], .mlm_count = mlm[1], .mlm_correct = mlm[2]};
    if (const float* nsp = totals("nsp_totals")) r.nsp_loss = nsp[0], r.nsp_count = nsp[1];
    const double count = std::max(r.mlm_count, 1.0), sequences = static_cast<double>(options_.batch);
    const double main = r.mlm_loss / count + r.nsp_loss / sequences;
    r.loss = main;
    if (!align) return r;
    const double divisor = options_.kl_normalization == KlNormalization::tokens ? count : sequences;
    if (const float* full = totals("mlm_totals_full")) r.mlm_loss_full = full[0];
    if (const float* full = totals("nsp_totals_full")) r.nsp_loss_full = full[0];
    r.kl_local = kl_local / divisor;
    r.kl_global = kl_global / divisor;
    if (options_.align.full_mlm) r.loss = 0.5 * main + 0.5 * (r.mlm_loss_full / count + r.nsp_loss_full / sequences);
    r.loss += settings.lambda * (r.kl_local + r.kl_global);
    return r;
}

void TrainingStep::queue(const data::Batch& batch, const StepSettings& settings) {
    require(may_queue(), "step {}: {} steps are queued already", settings.step, queued_);
    queue_backward(batch, settings);
    queue_update(settings);
    settings_[(begin_ + queued_++) % kAhead] = settings;
}

StepOutcome TrainingStep::collect() {
    require(queued_ > 0, "no step is queued");
    const StepSettings settings = settings_[begin_];
    begin_ = (begin_ + 1) % kAhead;
    --queued_;
    update_io_.finish(queued_);
    StepOutcome outcome{
        settings, result(settings, queued_ * micro_batches_), update_io_.at<float>("gradient_norm", queued_)[0], {}};
    if (loss_scale_.bytes() > 0)
        outcome.loss_scale = 1 / update_io_.at<kernels::UpdateScalars>("scaled_scalars", queued_)[0].gradient_factor;
    return outcome;
}

StepResult TrainingStep::backward(const data::Batch& batch, int64_t step, StepKind kind, double lambda) {
    const StepSettings settings{.step = step, .kind = kind, .lambda = lambda};
    queue_backward(batch, settings);
    return result(settings, 0);
}

double TrainingStep::update(int64_t step, double learning_rate) {
    queue_update({.step = step, .learning_rate = learning_rate});
    update_io_.finish();
    return update_io_.at<float>("gradient_norm")[0];
}

}  // namespace dropforge
