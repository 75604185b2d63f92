// Items of a task as the arrays of a forward or a training pass.
#pragma once

#include <span>
#include <vector>

#include "data/batches/batch.h"
#include "finetune/evaluation/evaluation.h"

namespace dropforge {

/// Pieces of the longest sequence of each item.
std::vector<int64_t> lengths_of(const tasks::Items& items);
/// Sequences of an item: 1, or the choices that every example has.
int64_t sequences_per_item(const TaskData& data);

/// The sequences of these items, one after the other, padded to `length`; with token types and lengths.
void fill_tokens(std::span<const tasks::Item* const> items, int64_t length, int32_t pad, data::Batch& batch);

/// What a task's head learns from (model/task_heads/task_head.h), of a micro-batch.
struct TaskLabels {
    std::vector<int32_t> labels = {};
    std::vector<float> values = {}, weights = {};
    std::vector<int32_t> starts = {}, ends = {};
};

/// Makes them for the items of a file.
class TaskLabeller {
  public:
    /// `class_weights`: one a label; empty: all 1. Everything must outlive this.
    TaskLabeller(const TaskData& data, std::span<const double> class_weights)
        : data_(data), class_weights_(class_weights) {}

    /// What the weights of the item's losses add up to: its share in the mean over a batch.
    double weight(const tasks::Item& item) const;
    /// Of items whose sequences have `length` positions, for a pass of `rows` items: those that are left have weight 0.
    void fill(std::span<const tasks::Item* const> items, int64_t rows, int64_t length, TaskLabels& labels) const;

  private:
    double class_weight(int32_t label) const {
        return class_weights_.empty() ? 1 : class_weights_[static_cast<size_t>(label)];
    }

    const tasks::Example& example(const tasks::Item& item) const { return data_.file.examples[item.example]; }

    const TaskData& data_;
    const std::span<const double> class_weights_;
};

}  // namespace dropforge
