#include "model/training/step_programs.h"

#include <algorithm>

#include "base/error.h"

namespace dropforge {

namespace {

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
            .heads = o.heads};
}

StepOptions checked(const StepOptions& o) {
    require(o.micro_batch >= 1 && o.batch % o.micro_batch == 0,
            "the micro-batch must divide the batch: {} does not divide {}", o.micro_batch, o.batch);
    return o;
}

PlannedProgram pass(const Parameters& parameters, const StepOptions& o, StepKind kind, bool accumulate) {
    return PlannedProgram(o.method->program(kind, parameters, build_options(o, accumulate)));
}

std::vector<StepPrograms::Passes> passes_of(const Parameters& parameters, const StepOptions& o) {
    std::vector<StepPrograms::Passes> all;
    for (const StepKind kind : o.kinds) {
        all.push_back({kind, pass(parameters, o, kind, false), {}});
        if (o.batch > o.micro_batch) all.back().accumulating.emplace(pass(parameters, o, kind, true));
    }
    return all;
}

}  // namespace

StepPrograms::StepPrograms(const Parameters& parameters, const StepOptions& o)
    : options(checked(o)),
      segments(parameters.segments(o.heads)),
      passes(passes_of(parameters, o)),
      update(optimizer_step(parameters, o.dtype, o.optimizer.kind, segments,
                            [&o](Program& program, Tensor norm) { o.method->add_update(program, norm); })) {}

const StepPrograms::Passes& StepPrograms::of(StepKind kind) const {
    const auto found = std::ranges::find(passes, kind, &Passes::kind);
    if (found == passes.end()) throw Error("this run was built without {} steps", options.method->kind_name(kind));
    return *found;
}

std::vector<const PlannedProgram*> StepPrograms::all() const {
    std::vector<const PlannedProgram*> programs;
    for (const Passes& p : passes) {
        programs.push_back(&p.first);
        if (p.accumulating) programs.push_back(&*p.accumulating);
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
