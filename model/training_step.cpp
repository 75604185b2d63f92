#include "model/training_step.h"

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "model/bindings.h"

namespace dropforge {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

double sum(std::span<const float> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

}  // namespace

int64_t state_bytes(const Parameters& parameters, DType dtype) {
    return parameters.size() * (4 * kFloat + (dtype == DType::f32 ? 0 : static_cast<int64_t>(size_of(dtype))));
}

TrainingStep::TrainingStep(const Parameters& parameters, StepPrograms programs, const kernels::KernelTable& table,
                           int64_t arena_bytes)
    : programs_(std::move(programs)),
      table_(table),
      context_(table.create_context()),
      values_(parameters.size() * kFloat),
      gradients_(parameters.size() * kFloat),
      moment1_(parameters.size() * kFloat),
      moment2_(parameters.size() * kFloat),
      copy_(options_.dtype == DType::f32 ? 0 : parameters.size() * 2),
      arena_(std::max(programs_.arena_bytes(), arena_bytes)) {
    prepare_inputs(parameters);
    for (const StepPrograms::Passes& passes : programs_.passes) {
        Runners& runners = runners_.emplace_back(Runners{executor(passes.first), {}});
        if (passes.further) runners.further.emplace(executor(*passes.further));
    }
    update_.emplace(executor(programs_.update));
    for (Executor* e : executors()) {
        bind_parameters(*e, parameters, values(), copy_.as<bf16>(), gradients());
        bind_arrays(*e);
    }
}

Executor TrainingStep::executor(const PlannedProgram& planned) {
    return {planned.program, planned.plan, arena_.as<>(), table_, *context_};
}

void TrainingStep::prepare_inputs(const Parameters& parameters) {
    const auto batch = static_cast<size_t>(options_.batch), masked = static_cast<size_t>(options_.masked);
    if (options_.routing) {
        const auto ids = static_cast<size_t>(parameters.config().vocabulary);
        importance_.resize(ids);
        importance_sums_.resize(ids);
        importance_counts_.resize(ids);
        kept_ = programs_.kept();
        kept_positions_.resize(batch * static_cast<size_t>(kept_));
        for (size_t i = 0; i < kept_positions_.size(); ++i)  // stays where no token is dropped
            kept_positions_[i] = static_cast<int32_t>(static_cast<int64_t>(i) % kept_);
        kl_local_.resize(batch);
        kl_global_.resize(batch);
    }
    position_loss_.resize(batch * masked);
    loss_rows_.resize(batch * (masked + 1));
    for (int64_t i = 0; i < options_.micro_batch * options_.masked; ++i)
        masked_rows_.push_back(static_cast<int32_t>(i % options_.masked + 1));
    cls_row_.resize(static_cast<size_t>(options_.micro_batch));
}

/// All that stays at its place from step to step.
void TrainingStep::bind_arrays(Executor& executor) {
    const std::pair<const char*, void*> arrays[] = {{"parameters", values_.as<>()},
                                                    {"gradients", gradients_.as<>()},
                                                    {"moment1", moment1_.as<>()},
                                                    {"moment2", moment2_.as<>()},
                                                    {"copy", copy_.as<>()},
                                                    {"gradient_norm", &norm_},
                                                    {"update_scalars", &scalars_},
                                                    {"importance", importance_.data()},
                                                    {"importance_sums", importance_sums_.data()},
                                                    {"importance_counts", importance_counts_.data()},
                                                    {"dropout_state", dropout_state_},
                                                    {"masked_rows", masked_rows_.data()},
                                                    {"cls_row", cls_row_.data()},
                                                    {"mlm_scale", &mlm_scale_},
                                                    {"nsp_scale", &nsp_scale_},
                                                    {"kl_scale", &kl_scale_},
                                                    {"mlm_totals", mlm_totals_},
                                                    {"nsp_totals", nsp_totals_},
                                                    {"mlm_totals_full", mlm_totals_full_},
                                                    {"nsp_totals_full", nsp_totals_full_}};
    for (const auto& [name, pointer] : arrays) bind_if_named(executor, name, pointer);
}

void TrainingStep::weights_changed() {
    if (copy_.bytes() == 0) return;
    table_.cast({values_.as<>(), copy_.as<>(), values_.bytes() / kFloat, DType::f32, options_.dtype}, *context_);
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

void TrainingStep::bind_micro_batch(Executor& executor, const data::Batch& batch, int64_t first) {
    const int64_t m = options_.masked;
    bind_batch(executor, batch, first);
    executor.bind("position_loss", position_loss_.data() + first * m);
    bind_if_named(executor, "kept_positions", kept_positions_.data() + first * kept_);
    bind_if_named(executor, "kl_local", kl_local_.data() + first);
    bind_if_named(executor, "kl_global", kl_global_.data() + first);
    if (!executor.program().has("loss_rows")) return;
    for (int64_t s = first; s < first + options_.micro_batch; ++s) {
        int32_t* rows = loss_rows_.data() + s * (m + 1);
        rows[0] = 0;
        std::copy_n(batch.masked_positions.data() + s * m, m, rows + 1);
    }
    executor.bind("loss_rows", loss_rows_.data() + first * (m + 1));
}

void TrainingStep::set_scales(StepKind kind, double count, double lambda) {
    const double share = kind == StepKind::align && options_.align.full_mlm ? 0.5 : 1;  // of each pass's own losses
    const double sequences = static_cast<double>(options_.batch);
    mlm_scale_ = static_cast<float>(share / std::max(count, 1.0));
    nsp_scale_ = static_cast<float>(share / sequences);
    const double divisor = options_.kl_normalization == KlNormalization::tokens ? std::max(count, 1.0) : sequences;
    kl_scale_ = static_cast<float>(lambda / divisor);
}

StepResult TrainingStep::result(StepKind kind, double lambda) const {
    StepResult r{.mlm_loss = mlm_totals_[0],
                 .mlm_count = mlm_totals_[1],
                 .mlm_correct = mlm_totals_[2],
                 .nsp_loss = nsp_totals_[0],
                 .nsp_count = nsp_totals_[1]};
    const double count = std::max(r.mlm_count, 1.0), sequences = static_cast<double>(options_.batch);
    const double main = r.mlm_loss / count + r.nsp_loss / sequences;
    r.loss = main;
    if (kind != StepKind::align) return r;
    const double divisor = options_.kl_normalization == KlNormalization::tokens ? count : sequences;
    r.mlm_loss_full = mlm_totals_full_[0];
    r.nsp_loss_full = nsp_totals_full_[0];
    r.kl_local = sum(kl_local_) / divisor;
    r.kl_global = sum(kl_global_) / divisor;
    if (options_.align.full_mlm) r.loss = 0.5 * main + 0.5 * (r.mlm_loss_full / count + r.nsp_loss_full / sequences);
    r.loss += lambda * (r.kl_local + r.kl_global);
    return r;
}

StepResult TrainingStep::backward(const data::Batch& batch, int64_t step, StepKind kind, double lambda) {
    const StepPrograms::Passes& passes = programs_.of(kind);
    Runners& runners = runners_[static_cast<size_t>(&passes - programs_.passes.data())];
    check_batch(passes.first.program, batch, options_.batch, options_.sequence, options_.masked);
    double count = 0;
    for (const float w : batch.masked_weights) count += w > 0;
    set_scales(kind, count, lambda);
    dropout_state_[0] = static_cast<uint32_t>(options_.seed);
    dropout_state_[1] = static_cast<uint32_t>(options_.seed >> 32);
    dropout_state_[2] = static_cast<uint32_t>(step);
    for (int64_t first = 0; first < options_.batch; first += options_.micro_batch) {
        Executor& executor = first == 0 ? runners.first : *runners.further;
        dropout_state_[3] = static_cast<uint32_t>(first);
        bind_micro_batch(executor, batch, first);
        executor.run();
    }
    return result(kind, lambda);
}

double TrainingStep::update(int64_t step, double learning_rate) {
    const StepOptions& o = options_;
    const auto correction = [&](float beta) {
        return static_cast<float>(1 - std::pow(double{beta}, static_cast<double>(step)));
    };
    scalars_ = {static_cast<float>(learning_rate),
                o.weight_decay,
                o.beta1,
                o.beta2,
                o.epsilon,
                correction(o.beta1),
                correction(o.beta2),
                o.clip};
    update_->run();
    return norm_;
}

}  // namespace dropforge
