#include "model/training/training_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "model/network/names.h"
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

/// Names of the tensors that stay on the device from step to step, in addition to the parameters.
std::set<std::string_view> device_names(const Method& method) {
    std::set<std::string_view> held = {names::kLossScale};
    for (const MethodState& state : method.states()) held.insert(state.name);
    for (const MethodState& sums : method.accumulators()) held.insert(sums.name);
    return held;
}

/// What a pass, and an update, exchanges with the host in every step: all that is no state.
auto is_exchanged(const Method& method) {
    return
        [held = device_names(method)](std::string_view name) { return !names_parameter(name) && !held.contains(name); };
}
}  // namespace

TrainingStep::TrainingStep(const Parameters& parameters, std::shared_ptr<const StepPrograms> programs,
                           const kernels::KernelTable& table, int64_t arena_bytes)
    : programs_(std::move(programs)),
      table_(table),
      context_(table.create_context()),
      states_(parameters, options_.dtype, table, *context_),
      arena_(std::max(programs_->arena_bytes(), arena_bytes), *context_),
      pass_io_(*context_, passes_of(*programs_), is_exchanged(*options_.method), kAhead * micro_batches_) {
    for (const MethodState& s : options_.method->states())
        method_states_.push_back({s.name, Mirrored(s.size * kFloat, *context_)});
    for (const MethodState& s : options_.method->accumulators())
        accumulators_.push_back({s.name, Buffer(s.size * kFloat, *context_)});
    for (const StepPrograms::Passes& passes : programs_->passes) {
        Runners& runners = runners_.emplace_back(Runners{executor(passes.first), {}});
        if (passes.accumulating) runners.accumulating.emplace(executor(*passes.accumulating));
    }
    for (Runners& r : runners_) {
        bind_pass(r.first);
        if (r.accumulating) bind_pass(*r.accumulating);
    }
    Executor update = executor(programs_->update);
    bind_states(update);
    update_.emplace(std::move(update), options_.optimizer, *context_, kAhead);
    check_bindings();
}

/// A wrong name would otherwise be an input of zeros, or be missed by the first run.
void TrainingStep::check_bindings() {
    for (const StepPrograms::Passes& passes : programs_->passes) {
        const Program& program = passes.first.program;
        std::set<std::string_view> given = batch_names();
        given.insert(names::kDropoutState);
        const NamedNumbers inputs = options_.method->inputs(
            {.step = 1, .kind = passes.kind, .masked = 1, .sequences = 1, .heads = options_.heads});
        for (const auto& [name, value] : inputs) {
            require(program.has(name), "{}: it takes no {}, which the method {} gives", program.name(), name,
                    options_.method->name());
            given.insert(name);
        }
        const std::vector<std::string> own = options_.method->input_names(passes.kind);
        given.insert(own.begin(), own.end());
        pass_io_.require_given(program, given);
    }
    for (Executor* e : executors()) e->require_bound();
}

Executor TrainingStep::executor(const PlannedProgram& planned) {
    return {planned.program, planned.plan, arena_.as<>(), table_, *context_};
}

/// All that stays on the device from step to step.
void TrainingStep::bind_states(Executor& executor) {
    states_.bind(executor);
    for (const NamedState& state : method_states_) bind_if_named(executor, state.name, state.values.device());
    for (const NamedBuffer& sums : accumulators_) bind_if_named(executor, sums.name, sums.values.as<>());
}

void TrainingStep::bind_pass(Executor& executor) {
    bind_states(executor);
    pass_io_.bind(executor);
}

std::span<float> TrainingStep::state(std::string_view name) {
    const auto found =
        std::ranges::find(method_states_, name, [](const NamedState& s) { return std::string_view(s.name); });
    require(found != method_states_.end(), "{}: there is no state {}", options_.method->name(), name);
    return {found->values.host<float>(), static_cast<size_t>(found->values.bytes() / kFloat)};
}

void TrainingStep::fetch_states() {
    states_.fetch();
    for (const NamedState& state : method_states_) state.values.fetch();
    context_->synchronize();
}

void TrainingStep::store_states() {
    states_.store();
    for (const NamedState& state : method_states_) state.values.store();
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
        if (r.accumulating) all.push_back(&*r.accumulating);
    }
    all.push_back(&update_->executor());
    return all;
}

StepInfo TrainingStep::info_of(const data::Batch& batch, const StepSettings& settings) const {
    const auto masked = std::ranges::count_if(batch.masked_weights, [](float w) { return w > 0; });
    return {.step = settings.step,
            .kind = settings.kind,
            .masked = static_cast<double>(masked),
            .sequences = static_cast<double>(options_.batch),
            .heads = options_.heads};
}

/// The inputs of the micro-batch that begins at sequence `first`.
void TrainingStep::fill_inputs(const data::Batch& batch, int64_t first, const StepInfo& info) {
    stage_batch(pass_io_, batch, first, options_.micro_batch);
    for (const auto& [name, value] : options_.method->inputs(info)) {
        const auto scale = static_cast<float>(value);
        pass_io_.set(name, std::span(&scale, 1));
    }
    stage_method_inputs(pass_io_, *options_.method, info, batch, first, options_.micro_batch);
    const uint32_t dropout[] = {static_cast<uint32_t>(options_.seed), static_cast<uint32_t>(options_.seed >> 32),
                                static_cast<uint32_t>(info.step), static_cast<uint32_t>(first)};
    pass_io_.set(names::kDropoutState, std::span<const uint32_t>(dropout));
}

void TrainingStep::queue_backward(const data::Batch& batch, const StepInfo& info) {
    const StepPrograms::Passes& passes = programs_->of(info.kind);
    Runners& runners = runners_[static_cast<size_t>(&passes - programs_->passes.data())];
    check_batch(passes.first.program, batch, options_.batch, options_.sequence, options_.masked);
    for (int64_t first = 0; first < options_.batch; first += options_.micro_batch) {
        pass_io_.begin();
        fill_inputs(batch, first, info);
        pass_io_.run(first == 0 ? runners.first : *runners.accumulating);
    }
}

/// Of the step whose last micro-batch was begun `ago` micro-batches before the last.
StepResult TrainingStep::result(const StepInfo& info, int64_t ago) {
    pass_io_.finish(ago);
    const Program& program = programs_->of(info.kind).first.program;
    StepResult result;
    for (const auto& [name, output, element] : sources_) {
        if (!program.has(output)) continue;
        double& number = result.numbers[name];
        if (element != StepResultSource::kAll) {
            number = pass_io_.at<float>(output, ago)[static_cast<size_t>(element)];
            continue;
        }
        for (int64_t i = micro_batches_; i-- > 0;) number += sum(pass_io_.at<float>(output, ago + i));
    }
    result.loss = options_.method->loss(info, result.numbers);
    return result;
}

void TrainingStep::queue(const data::Batch& batch, const StepSettings& settings) {
    require(may_queue(), "step {}: {} steps are queued already", settings.step, queued_);
    const StepInfo info = info_of(batch, settings);
    queue_backward(batch, info);
    update_->queue(settings.step, settings.learning_rate);
    steps_[(begin_ + queued_++) % kAhead] = {settings, info};
}

StepOutcome TrainingStep::collect() {
    require(queued_ > 0, "no step is queued");
    const auto [settings, info] = steps_[begin_];
    begin_ = (begin_ + 1) % kAhead;
    --queued_;
    update_->finish(queued_);
    return {settings, info, result(info, queued_ * micro_batches_), update_->gradient_norm(queued_),
            update_->loss_scale(queued_)};
}

StepResult TrainingStep::backward(const data::Batch& batch, int64_t step, StepKind kind) {
    const StepInfo info = info_of(batch, {.step = step, .kind = kind});
    backward_kind_ = kind;
    queue_backward(batch, info);
    return result(info, 0);
}

double TrainingStep::update(int64_t step, double learning_rate) {
    update_->queue(step, learning_rate);
    update_->finish();
    return update_->gradient_norm();
}

}  // namespace dropforge
