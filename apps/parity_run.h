// `dropforge parity`: one batch through a model, every number that a test may want written to a safetensors file
// (docs/parity.md).
#pragma once

#include "base/file.h"
#include "data/batches/batch.h"
#include "engine/ops.h"
#include "model/methods/registry.h"
#include "model/network/bert_config.h"

namespace dropforge {

struct ParityOptions {
    fs::path model, batch, out;
    const kernels::KernelTable* kernels = &kernels::cpu();
    DType dtype = DType::f32;
    std::string method = "dense";
    OptionTables method_options;  // every step is one that the method is about
    int64_t steps = 0;            // optimizer steps on the same batch; 0: gradients only
    ops::Optimizer optimizer = ops::Optimizer::adamw;
    double lr = 1e-3;
    float weight_decay = 0.01f, beta1 = 0.9f, beta2 = 0.98f, epsilon = 1e-6f, clip = 1.0f;
};

/// Reads a batch file: input_ids, token_type_ids, lengths, masked_positions, masked_labels, masked_weights,
/// next_sentence_labels. Throws Error for a missing tensor, a bad shape, an id, position, label or length out of range.
/// `masked`: whether masked_* must be there.
data::Batch read_batch(const fs::path& path, const BertConfig& config, bool masked);

/// Runs dense BERT without dropout and writes options.out.
void parity(const ParityOptions& options);

}  // namespace dropforge
