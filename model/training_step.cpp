#include "model/training_step.h"

#include <cmath>

#include "base/error.h"
#include "model/bindings.h"

namespace dropforge {

namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

GraphOptions graph_options(const StepOptions& o, bool accumulate) {
    return {.batch = o.micro_batch,
            .sequence = o.sequence,
            .masked = o.masked,
            .dtype = o.dtype,
            .training = true,
            .accumulate = accumulate,
            .types = o.types,
            .lengths = o.lengths,
            .next_sentence = o.next_sentence};
}

MemoryPlan checked_plan(const Program& program) {
    MemoryPlan plan = plan_memory(program);
    verify_plan(program, plan);
    return plan;
}

}  // namespace

StepPrograms::StepPrograms(const Parameters& parameters, const StepOptions& o)
    : options(o),
      segments(parameters.segments(o.next_sentence)),
      first(dense_step(parameters, graph_options(o, false))),
      further(dense_step(parameters, graph_options(o, true))),
      update(optimizer_step(parameters, o.dtype, o.optimizer, segments)),
      first_plan(checked_plan(first)),
      further_plan(checked_plan(further)),
      update_plan(checked_plan(update)) {
    require(o.micro_batch >= 1 && o.batch % o.micro_batch == 0,
            "the micro-batch must divide the batch: {} does not divide {}", o.micro_batch, o.batch);
}

int64_t StepPrograms::arena_bytes() const {
    return std::max({first_plan.bytes, further_plan.bytes, update_plan.bytes});
}

int64_t StepPrograms::arena_lower_bound() const {
    return std::max({first_plan.lower_bound, further_plan.lower_bound, update_plan.lower_bound});
}

double StepPrograms::flops() const {
    const int64_t micro_batches = options.batch / options.micro_batch;
    return first.flops() * static_cast<double>(micro_batches);
}

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
      arena_(std::max(programs_.arena_bytes(), arena_bytes)),
      position_loss_(static_cast<size_t>(options_.batch * options_.masked)) {
    const StepOptions& options = options_;
    first_.emplace(programs_.first, programs_.first_plan, arena_.as<>(), table, *context_);
    further_.emplace(programs_.further, programs_.further_plan, arena_.as<>(), table, *context_);
    update_.emplace(programs_.update, programs_.update_plan, arena_.as<>(), table, *context_);
    if (options.next_sentence) {
        const int64_t m = options.masked;
        loss_rows_.resize(static_cast<size_t>(options.batch * (m + 1)));
        for (int64_t i = 0; i < options.micro_batch * m; ++i) masked_rows_.push_back(static_cast<int32_t>(i % m + 1));
        cls_row_.resize(static_cast<size_t>(options.micro_batch));
    }
    for (Executor* executor : {&*first_, &*further_}) {
        bind_parameters(*executor, parameters, values(), copy_.as<bf16>(), gradients());
        bind_outputs(*executor);
    }
    for (const auto& [name, buffer] : {std::pair{"parameters", &values_},
                                       {"gradients", &gradients_},
                                       {"moment1", &moment1_},
                                       {"moment2", &moment2_}})
        update_->bind(name, buffer->as<>());
    if (copy_.bytes() > 0) update_->bind("copy", copy_.as<>());
    update_->bind("gradient_norm", &norm_);
    update_->bind("update_scalars", &scalars_);
}

void TrainingStep::bind_outputs(Executor& executor) {
    executor.bind("dropout_state", dropout_state_);
    executor.bind("mlm_scale", &mlm_scale_);
    executor.bind("mlm_totals", mlm_totals_);
    if (!options_.next_sentence) return;
    executor.bind("nsp_scale", &nsp_scale_);
    executor.bind("nsp_totals", nsp_totals_);
    executor.bind("masked_rows", masked_rows_.data());
    executor.bind("cls_row", cls_row_.data());
}

void TrainingStep::weights_changed() {
    if (copy_.bytes() == 0) return;
    table_.cast({values_.as<>(), copy_.as<>(), values_.bytes() / kFloat, DType::f32, options_.dtype}, *context_);
}

void TrainingStep::bind_micro_batch(Executor& executor, const data::Batch& batch, int64_t first) {
    const int64_t m = options_.masked;
    bind_batch(executor, batch, first);
    executor.bind("position_loss", position_loss_.data() + first * m);
    if (!options_.next_sentence) return;
    for (int64_t s = first; s < first + options_.micro_batch; ++s) {
        int32_t* rows = loss_rows_.data() + s * (m + 1);
        rows[0] = 0;
        std::copy_n(batch.masked_positions.data() + s * m, m, rows + 1);
    }
    executor.bind("loss_rows", loss_rows_.data() + first * (m + 1));
}

StepResult TrainingStep::backward(const data::Batch& batch, int64_t step) {
    check_batch(programs_.first, batch, options_.batch, options_.sequence, options_.masked);
    double count = 0;
    for (const float w : batch.masked_weights) count += w > 0;
    mlm_scale_ = static_cast<float>(1 / std::max(count, 1.0));
    nsp_scale_ = 1.0f / static_cast<float>(options_.batch);
    dropout_state_[0] = static_cast<uint32_t>(options_.seed);
    dropout_state_[1] = static_cast<uint32_t>(options_.seed >> 32);
    dropout_state_[2] = static_cast<uint32_t>(step);
    for (int64_t first = 0; first < options_.batch; first += options_.micro_batch) {
        Executor& executor = first == 0 ? *first_ : *further_;
        dropout_state_[3] = static_cast<uint32_t>(first);
        bind_micro_batch(executor, batch, first);
        executor.run();
    }
    return {mlm_totals_[0], mlm_totals_[1], mlm_totals_[2], nsp_totals_[0], nsp_totals_[1], 0};
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
