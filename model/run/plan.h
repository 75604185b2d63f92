// All that is known of a run before it starts: model, Programs, memory, FLOPs, and whether it fits.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "data/shards/dataset.h"
#include "devices/device.h"
#include "model/config/config.h"
#include "model/training/evaluation.h"
#include "model/training/training_step.h"

namespace dropforge {

/// The dtype that a precision means on this machine, and why in a few words: "bf16: this CPU computes it".
struct ResolvedPrecision {
    DType dtype;
    std::string reason;
};
/// `kept`: the precision is what a run that goes on began with, not what was asked for. Throws Error if the device does
/// not compute in it.
ResolvedPrecision resolve_precision(Precision precision, const Device& device, bool kept = false);

struct RunPlan {
    /// `config` is complete (vocabulary, special ids). Throws Error if it contradicts itself. `kinds`: the steps that
    /// are planned; empty: those that the run has.
    explicit RunPlan(const RunConfig& config, Device device = cpu_device(), std::vector<StepKind> kinds = {});

    RunConfig config;  // with train.precision and train.micro_batch as they were resolved
    Device device;
    ResolvedPrecision precision;
    bool automatic_micro_batch;  // as many sequences at a time as fit, not as the configuration says
    Parameters parameters;
    std::shared_ptr<const Method> method;
    std::vector<StepKind> kinds;
    std::shared_ptr<const StepPrograms> programs;
    PlannedProgram evaluation;

    /// What GEMMs compute in: "f32", "bf16" …, "tf32".
    const char* precision_name() const { return config.train.tf32 ? "tf32" : name_of(precision.dtype); }
    EvaluationOptions evaluation_options() const;
    /// Bytes of the activation arena: the largest Program's.
    int64_t arena_bytes() const;
    /// Parameters and states, activations, batches, and what the device takes for itself.
    int64_t memory_bytes() const;
    /// Executed for one sequence of a step of that kind.
    double flops_per_sequence(StepKind kind) const;
    /// The mean over the run's steps.
    double flops_per_sequence() const;
    /// "", or of a run that goes on what it computes in where "auto" would now be something else: both, in one line.
    std::string precision_note() const;
    /// Lines for people: model, precision, FLOPs, memory and how much of it is available.
    std::string text() const;
    /// The same figures for scripts.
    nlohmann::ordered_json json() const;
    /// Throws Error with the numbers, and what would fit, if the memory that is available does not suffice.
    void require_fit() const;

  private:
    /// The Programs of the steps, with train.micro_batch decided: where it is automatic, the largest divisor of the
    /// batch with which the run fits, or 1.
    StepPrograms planned_steps();
    /// The same for a given micro-batch, with train.gelu_output decided: kept where a tenth of a GPU's memory stays
    /// free.
    StepPrograms planned_passes() const;
    /// Of a run whose activation arena has so many bytes.
    int64_t memory_with(int64_t arena) const;
    std::string flops_by_kind() const;
    std::string reserve_text() const;
    std::string available_text() const;
    std::string way_to_fit() const;
};

/// Completes a configuration from a data folder: vocabulary size, special ids, the folder's path.
void take_vocabulary(RunConfig& config, const data::Dataset& dataset, const data::Vocabulary& vocabulary);

}  // namespace dropforge
