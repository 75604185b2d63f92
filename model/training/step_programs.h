// The Programs that a recipe's steps are made of, with their memory plans: known before anything is allocated.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/memory_plan.h"
#include "model/methods/dense.h"
#include "model/network/bert.h"
#include "model/network/parameters.h"
#include "model/training/optimizer_step.h"

namespace dropforge {

struct StepOptions {
    int64_t batch = 0, micro_batch = 0;   // sequences an optimizer step, sequences at a time (divides batch)
    int64_t sequence = 0, masked = 0;     // S, M
    bool types = false, lengths = false;  // what the batches have
    LossHeads heads = {mlm_head()};       // whose labels they have
    DType dtype = DType::f32;
    bool keep_gelu = false;  // BuildOptions::keep_gelu
    OptimizerOptions optimizer = {};
    uint64_t seed = 0;  // of dropout and of a method's draws

    std::shared_ptr<const Method> method = dense();
    std::vector<StepKind> kinds = {StepKind::dense};  // that are wanted
};

struct StepPrograms {
    /// `parameters` must outlive this. Throws Error if the options contradict each other.
    StepPrograms(const Parameters& parameters, const StepOptions& options);
    StepPrograms(StepPrograms&&) = default;
    StepPrograms(const StepPrograms&) = delete;  // Executors hold on to its Programs

    /// Forward and backward of one micro-batch.
    struct Passes {
        StepKind kind;
        PlannedProgram first;                        // of a step
        std::optional<PlannedProgram> accumulating;  // the others, if a step has any: adds to the gradients
    };

    StepOptions options;
    std::vector<kernels::Segment> segments;
    std::vector<Passes> passes;  // one for each of options.kinds
    PlannedProgram update;       // the optimizer step

    const Passes& of(StepKind kind) const;
    /// Every Program, for reports.
    std::vector<const PlannedProgram*> all() const;
    /// Bytes of the one arena that all of them share.
    int64_t arena_bytes() const;
    int64_t arena_lower_bound() const;
    /// Executed in one optimizer step of that kind, counted as in docs/algorithms.md: GEMMs and attention.
    double flops(StepKind kind) const;
};

}  // namespace dropforge
