// The run of `dropforge parity`: one batch through a model, with outputs, losses, gradients and updated parameters
// written to a safetensors file (docs/parity.md).
#pragma once

#include "base/file.h"
#include "data/batches/batch.h"
#include "model/methods/registry.h"
#include "model/network/bert_config.h"
#include "model/training/optimizer_step.h"

namespace dropforge {

struct ParityOptions {
    fs::path model, batch, out;
    const kernels::KernelTable* kernels = &kernels::cpu();
    DType dtype = DType::f32;
    std::string method = "dense";
    OptionTables method_options;  // of the method, whose own kind of step is computed
    int64_t steps = 0;            // optimizer steps on the same batch; 0: only gradients
    OptimizerOptions optimizer = {};
    double lr = 1e-3;
};

/// Reads a batch file: input_ids, token_type_ids, lengths, masked_positions, masked_labels, masked_weights,
/// next_sentence_labels. `masked`: whether masked_* are required. Error for a missing tensor, a wrong shape, and an id,
/// position, label or length out of range.
data::Batch read_batch(const fs::path& path, const BertConfig& config, bool masked);

/// Computes the step and writes options.out.
void parity(const ParityOptions& options);

}  // namespace dropforge
