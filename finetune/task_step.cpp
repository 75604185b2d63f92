#include "finetune/task_step.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/training/bindings.h"

namespace dropforge {

namespace {

BuildOptions build_options(const TaskHeadPointer& head, const TaskStepOptions& o, int64_t length, bool accumulate) {
    return {.batch = o.micro_batch * o.sequences,
            .sequence = length,
            .dtype = o.dtype,
            .training = true,
            .accumulate = accumulate,
            .types = true,
            .lengths = true,
            .heads = {head},
            .frozen = o.frozen};
}

/// The inputs that stage() sets.
std::set<std::string_view> staged_names() {
    std::set<std::string_view> names = batch_names();
    names.insert({names::kTaskLabels, names::kTaskValues, names::kTaskWeights, names::kSpanStarts, names::kSpanEnds,
                  names::kTaskScale, names::kDropoutState});
    return names;
}

}  // namespace

TaskStep::Bucket::Bucket(const Parameters& parameters, const TaskHeadPointer& head, const TaskStepOptions& o,
                         int64_t length)
    : first(dense_step(parameters, build_options(head, o, length, false))) {
    if (o.batch > o.micro_batch) accumulating.emplace(dense_step(parameters, build_options(head, o, length, true)));
}

int64_t TaskStep::arena_bytes(const Parameters& parameters, const TaskHeadPointer& head, const TaskStepOptions& o) {
    const Bucket longest(parameters, head, o, std::ranges::max(o.lengths));
    return std::max(longest.first.plan.bytes, longest.accumulating ? longest.accumulating->plan.bytes : 0);
}

TaskStep::TaskStep(const Parameters& parameters, const TaskHeadPointer& head, const TaskStepOptions& options,
                   const kernels::KernelTable& table, int64_t arena_bytes)
    : options_(options),
      table_(table),
      context_(table.create_context()),
      states_(parameters, options_.dtype, table, *context_),
      update_program_(optimizer_step(parameters, options_.dtype, options_.optimizer.kind, options_.segments)) {
    arena_bytes = std::max(arena_bytes, update_program_.plan.bytes);
    for (const int64_t length : options_.lengths) {
        const Bucket& b = buckets_.try_emplace(length, parameters, head, options_, length).first->second;
        arena_bytes =
            std::max({arena_bytes, b.first.plan.bytes, b.accumulating ? b.accumulating->plan.bytes : int64_t{0}});
    }
    arena_ = Buffer(arena_bytes, *context_);
    for (auto& [length, bucket] : buckets_) prepare(bucket);
    Executor update(update_program_.program, update_program_.plan, arena_.as<>(), table_, *context_);
    states_.bind(update);
    update_.emplace(std::move(update), options_.optimizer, *context_, kAhead);
}

void TaskStep::prepare(Bucket& b) {
    std::vector<const Program*> programs = {&b.first.program};
    if (b.accumulating) programs.push_back(&b.accumulating->program);
    b.io.emplace(
        *context_, programs, [](std::string_view name) { return !names_parameter(name) && name != names::kLossScale; },
        kAhead * micro_batches_);
    const auto executor = [&](const PlannedProgram& planned, std::optional<Executor>& to) {
        to.emplace(planned.program, planned.plan, arena_.as<>(), table_, *context_);
        states_.bind(*to);
        b.io->bind(*to);
        b.io->require_given(planned.program, staged_names());
        to->require_bound();
    };
    executor(b.first, b.run_first);
    if (b.accumulating) executor(*b.accumulating, b.run_accumulating);
}

void TaskStep::fetch_states() {
    states_.fetch();
    context_->synchronize();
}

void TaskStep::store_states() {
    states_.store();
    context_->synchronize();
}

/// The inputs of a micro-batch. Sequences that fill it up are one piece long, and no loss reads them.
void TaskStep::stage(const Bucket& b, const TaskLabeller& labeller, std::span<const tasks::Item* const> items,
                     int64_t length, int32_t pad) {
    const int64_t rows = options_.micro_batch * options_.sequences;
    fill_tokens(items, length, pad, tokens_);
    tokens_.sequences = rows;
    tokens_.input_ids.resize(static_cast<size_t>(rows * length), pad);
    tokens_.token_type_ids.resize(static_cast<size_t>(rows * length), 0);
    tokens_.lengths.resize(static_cast<size_t>(rows), 1);
    stage_batch(*b.io, tokens_, 0, rows);
    labeller.fill(items, options_.micro_batch, length, labels_);
    b.io->set(names::kTaskLabels, std::span<const int32_t>(labels_.labels));
    b.io->set(names::kTaskValues, std::span<const float>(labels_.values));
    b.io->set(names::kTaskWeights, std::span<const float>(labels_.weights));
    b.io->set(names::kSpanStarts, std::span<const int32_t>(labels_.starts));
    b.io->set(names::kSpanEnds, std::span<const int32_t>(labels_.ends));
}

void TaskStep::queue(const TaskLabeller& labeller, std::span<const tasks::Item* const> items, int64_t length,
                     int32_t pad, const StepSettings& settings) {
    require(may_queue(), "step {}: {} steps are queued already", settings.step, queued_);
    Bucket& b = buckets_.at(length);
    double weight = 0;
    for (const tasks::Item* item : items) weight += labeller.weight(*item);
    const float scale = weight > 0 ? static_cast<float>(1 / weight) : 0;
    const auto micro = static_cast<size_t>(options_.micro_batch);
    for (size_t first = 0; first < items.size(); first += micro) {
        b.io->begin();
        stage(b, labeller, items.subspan(first, std::min(micro, items.size() - first)), length, pad);
        const uint32_t dropout[] = {static_cast<uint32_t>(options_.seed), static_cast<uint32_t>(options_.seed >> 32),
                                    static_cast<uint32_t>(settings.step),
                                    static_cast<uint32_t>(first * static_cast<size_t>(options_.sequences))};
        b.io->set(names::kDropoutState, std::span<const uint32_t>(dropout));
        b.io->set(names::kTaskScale, std::span(&scale, 1));
        b.io->run(first == 0 ? *b.run_first : *b.run_accumulating);
        ++b.runs;
    }
    update_->queue(settings.step, settings.learning_rate);
    steps_[(begin_ + queued_++) % kAhead] = {settings, &b, b.runs, weight, std::ssize(items)};
}

StepOutcome TaskStep::collect() {
    require(queued_ > 0, "no step is queued");
    const Queued q = steps_[begin_];
    begin_ = (begin_ + 1) % kAhead;
    --queued_;
    update_->finish(queued_);
    const int64_t ago = q.bucket->runs - q.run;
    q.bucket->io->finish(ago);
    const double sum = q.bucket->io->at<float>(names::kTaskTotals, ago)[0];
    StepResult result{.loss = q.weight > 0 ? sum / q.weight : 0};
    return {.settings = q.settings,
            .info = {.step = q.settings.step, .sequences = static_cast<double>(q.items)},
            .result = std::move(result),
            .gradient_norm = update_->gradient_norm(queued_),
            .loss_scale = update_->loss_scale(queued_)};
}

}  // namespace dropforge
