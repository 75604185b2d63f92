// What fits into a memory: the largest micro-batch of a run, and what could be smaller where not even one sequence
// fits.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/run/config.h"
#include "model/run/plan.h"

namespace dropforge {

/// The divisors of a positive number, the largest first: the micro-batches that a batch can be cut into.
std::vector<int64_t> divisors(int64_t number);

/// The single keys that, made smaller, let the run of a plan fit: "data.sequence=128 or model.preset=bert-small";
/// "" if none of them does. With one sequence at a time.
std::string what_would_fit(const RunPlan& plan);

/// A run that differs from a configuration in what decides its memory.
struct MemoryRow {
    int64_t sequence;
    Precision precision;
    bool keep_gelu;              // train.gelu_output = keep
    std::vector<bool> switches;  // MethodEntry::memory_switches
    int64_t micro_batch;         // the largest divisor of the batch that fits; 0: not even one sequence does
    int64_t memory_bytes;        // of that run, or with one sequence
};

/// Lengths (128, 256, 512 … up to the model's positions, and the configuration's own) × precisions × what the backward
/// pass makes again. `memory`: bytes for the whole run. Throws Error if the configuration contradicts itself.
std::vector<MemoryRow> memory_table(const RunConfig& config, int64_t memory);

/// Lines for people; `memory` as in memory_table().
std::string memory_text(const RunConfig& config, const std::vector<MemoryRow>& rows, int64_t memory);
nlohmann::ordered_json memory_json(const RunConfig& config, const std::vector<MemoryRow>& rows);

}  // namespace dropforge
