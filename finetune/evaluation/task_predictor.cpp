#include "finetune/evaluation/task_predictor.h"

#include <algorithm>
#include <numeric>

#include "finetune/evaluation/task_batch.h"
#include "model/network/names.h"

namespace dropforge {

namespace {

using tasks::Item;
using tasks::Kind;

BuildOptions largest(const PredictorOptions& o) {
    return {.batch = o.batch * o.sequences,
            .sequence = o.max_length,
            .dtype = o.dtype,
            .types = true,
            .lengths = true,
            .heads = {}};
}

BucketedForward::Build build(const Parameters& parameters, const TaskHeadPointer& head) {
    return [&parameters, head](const BuildOptions& options) { return task_logits(parameters, options, *head); };
}

/// Where the logits of items lie in TaskLogits.
class Places {
  public:
    Places(const TaskData& data, int64_t columns) : data_(data), columns_(columns) {
        for (const Item& item : data.items.items) begin_.push_back(begin_.back() + size_of(item));
    }
    TaskLogits empty() const {
        const auto n = static_cast<size_t>(begin_.back());
        if (data_.task.kind == Kind::span) return {.start = std::vector<float>(n), .end = std::vector<float>(n)};
        return {.logits = std::vector<float>(n)};
    }
    /// Takes the logits of item i from those of its first sequence on, f32 [S,columns] or [1,columns] a sequence.
    void take(size_t i, std::span<const float> from, TaskLogits& to) const {
        const Item& item = data_.items.items[i];
        const ptrdiff_t at = begin_[i];
        if (data_.task.kind == Kind::span) {
            for (ptrdiff_t p = 0; p < size_of(item); ++p) {
                to.start[static_cast<size_t>(at + p)] = from[static_cast<size_t>(2 * p)];
                to.end[static_cast<size_t>(at + p)] = from[static_cast<size_t>(2 * p + 1)];
            }
        } else if (data_.task.kind == Kind::token) {
            for (size_t k = 0; k < item.positions.size(); ++k)
                std::copy_n(from.begin() + item.positions[k] * columns_, columns_,
                            to.logits.begin() + at + static_cast<ptrdiff_t>(k) * columns_);
        } else {
            std::copy_n(from.begin(), size_of(item), to.logits.begin() + at);
        }
    }

  private:
    ptrdiff_t size_of(const Item& item) const {
        if (data_.task.kind == Kind::span) return std::ssize(item.sequences[0].ids);
        if (data_.task.kind == Kind::token) return std::ssize(item.positions) * columns_;
        return std::ssize(item.sequences) * columns_;
    }

    const TaskData& data_;
    const int64_t columns_;
    std::vector<ptrdiff_t> begin_ = {0};
};

}  // namespace

TaskPredictor::TaskPredictor(const Parameters& parameters, TaskHeadPointer head, const PredictorOptions& options,
                             const float* values, const kernels::KernelTable& table)
    : head_(std::move(head)),
      options_(options),
      forward_(parameters, build(parameters, head_), largest(options), values, table, options.bucket_step) {}

TaskPredictor::TaskPredictor(const Parameters& parameters, TaskHeadPointer head, const PredictorOptions& options,
                             const Resources& resources)
    : head_(std::move(head)),
      options_(options),
      forward_(parameters, build(parameters, head_), largest(options), resources, options.bucket_step) {}

int64_t TaskPredictor::arena_bytes(const Parameters& parameters, const TaskHeadPointer& head,
                                   const PredictorOptions& options) {
    return BucketedForward::arena_bytes(build(parameters, head), largest(options), options.bucket_step);
}

TaskLogits TaskPredictor::run(const TaskData& data) {
    const std::vector<Item>& items = data.items.items;
    std::vector<size_t> order(items.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, {}, [&](size_t i) { return items[i].length(); });
    const Places places(data, head_->columns());
    TaskLogits logits = places.empty();
    data::Batch batch;
    for (size_t first = 0; first < order.size(); first += static_cast<size_t>(options_.batch)) {
        const auto chunk =
            std::span(order).subspan(first, std::min(static_cast<size_t>(options_.batch), order.size() - first));
        std::vector<const Item*> chosen;
        for (const size_t i : chunk) chosen.push_back(&items[i]);
        const int64_t length =
            bucket_length(static_cast<int64_t>(chosen.back()->length()), options_.max_length, options_.bucket_step);
        fill_tokens(chosen, length, options_.pad, batch);
        forward_.run(batch);
        const std::span<const float> all = forward_.output<float>(names::kLogits);
        const int64_t rows = head_->rows() == HeadRows::all ? length : 1;
        const auto stride = static_cast<size_t>(options_.sequences * rows * head_->columns());
        for (size_t k = 0; k < chunk.size(); ++k) places.take(chunk[k], all.subspan(k * stride, stride), logits);
    }
    return logits;
}

}  // namespace dropforge
