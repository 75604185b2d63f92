// What a model says at [MASK], and the tokens that it says most of.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/batches/batch.h"
#include "model/checkpoint/huggingface.h"

namespace dropforge {

/// Logits [M, vocabulary] at batch.masked_positions of its one sequence, in f32 on the CPU. The model has an MLM head.
std::vector<float> mask_logits(const Model& model, const data::Batch& batch);

/// Ids of the `count` largest logits, or of all if there are fewer: the largest first, of equal ones the lowest id.
std::vector<int32_t> largest(std::span<const float> logits, size_t count);

}  // namespace dropforge
