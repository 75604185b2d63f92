// What a model says at [MASK], and the tokens that it says most of.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/batches/batch.h"
#include "model/checkpoint/huggingface.h"
#include "model/training/bucketed_forward.h"

namespace dropforge {

/// A model with an MLM head, which reads sequences one by one.
class MaskLogits {
  public:
    /// For sequences of up to `longest` tokens with up to `masked` masked positions. The model must outlive this.
    MaskLogits(const Model& model, int64_t longest, int64_t masked, DType dtype, const kernels::KernelTable& table);

    /// Logits [M, vocabulary] at batch.masked_positions of its one sequence.
    std::vector<float> of(const data::Batch& batch);

  private:
    const BertConfig& config_;
    int64_t longest_, masked_;
    BucketedForward forward_;
};

/// Ids of the `count` largest logits, or of all if there are fewer: the largest first, of equal ones the lowest id.
std::vector<int32_t> largest(std::span<const float> logits, size_t count);

}  // namespace dropforge
