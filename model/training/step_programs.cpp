#include "model/training/step_programs.h"

#include <algorithm>

#include "base/error.h"
#include "model/methods/token_dropping.h"

namespace dropforge {

namespace {

bool learns(const StepOptions& o) { return o.routing && o.routing->learns(); }

BuildOptions build_options(const StepOptions& o, bool accumulate) {
    return {.batch = o.micro_batch,
            .sequence = o.sequence,
            .masked = o.masked,
            .dtype = o.dtype,
            .training = true,
            .keep_gelu = o.keep_gelu,
            .accumulate = accumulate,
            .types = o.types,
            .lengths = o.lengths,
            .next_sentence = o.next_sentence,
            .importance = learns(o)};
}

StepOptions checked(const StepOptions& o) {
    require(o.micro_batch >= 1 && o.batch % o.micro_batch == 0,
            "the micro-batch must divide the batch: {} does not divide {}", o.micro_batch, o.batch);
    require(o.routing || std::ranges::count(o.kinds, StepKind::dense) == std::ssize(o.kinds),
            "steps that drop tokens need a routing");
    return o;
}

PlannedProgram pass(const Parameters& parameters, const StepOptions& o, StepKind kind, bool accumulate) {
    const BuildOptions how = build_options(o, accumulate);
    switch (kind) {
        case StepKind::dense:
            return PlannedProgram(dense_step(parameters, how));
        case StepKind::dropping:
            return PlannedProgram(token_dropping_step(parameters, how, *o.routing, o.keep));
        case StepKind::align:
            return PlannedProgram(align_step(parameters, how, *o.routing, o.keep, o.align));
    }
    throw Error("no step of that kind");
}

std::vector<kernels::FixedValue> fixed_of(const Parameters& parameters, const StepOptions& o) {
    const auto& special = parameters.config().special;
    return learns(o) && special ? fixed_values(*special) : std::vector<kernels::FixedValue>();
}

std::vector<StepPrograms::Passes> passes_of(const Parameters& parameters, const StepOptions& o) {
    std::vector<StepPrograms::Passes> all;
    for (const StepKind kind : o.kinds) {
        all.push_back({kind, pass(parameters, o, kind, false), {}});
        if (o.batch > o.micro_batch) all.back().further.emplace(pass(parameters, o, kind, true));
    }
    return all;
}

}  // namespace

StepPrograms::StepPrograms(const Parameters& parameters, const StepOptions& o)
    : options(checked(o)),
      segments(parameters.segments(o.next_sentence)),
      fixed(fixed_of(parameters, o)),
      passes(passes_of(parameters, o)),
      update(optimizer_step(parameters, o.dtype, o.optimizer, segments,
                            learns(o) ? std::optional(ImportanceOptions{fixed, o.importance_beta})
                                      : std::optional<ImportanceOptions>())) {}

const StepPrograms::Passes& StepPrograms::of(StepKind kind) const {
    const auto found = std::ranges::find(passes, kind, &Passes::kind);
    require(found != passes.end(), "this run was built without {} steps", name_of(kind));
    return *found;
}

int64_t StepPrograms::kept() const {
    for (const Passes& p : passes) {
        const Program& program = p.first.program;
        if (!program.has("kept_positions")) continue;
        const int64_t bytes = program.storages()[static_cast<size_t>(program.find("kept_positions"))].bytes;
        return bytes / static_cast<int64_t>(sizeof(int32_t)) / options.micro_batch;
    }
    return options.sequence;
}

std::vector<const PlannedProgram*> StepPrograms::all() const {
    std::vector<const PlannedProgram*> programs;
    for (const Passes& p : passes) {
        programs.push_back(&p.first);
        if (p.further) programs.push_back(&*p.further);
    }
    programs.push_back(&update);
    return programs;
}

int64_t StepPrograms::arena_bytes() const {
    int64_t bytes = 0;
    for (const PlannedProgram* p : all()) bytes = std::max(bytes, p->plan.bytes);
    return bytes;
}

int64_t StepPrograms::arena_lower_bound() const {
    int64_t bytes = 0;
    for (const PlannedProgram* p : all()) bytes = std::max(bytes, p->plan.lower_bound);
    return bytes;
}

double StepPrograms::flops(StepKind kind) const {
    const int64_t micro_batches = options.batch / options.micro_batch;
    return of(kind).first.program.flops() * static_cast<double>(micro_batches);
}

}  // namespace dropforge
