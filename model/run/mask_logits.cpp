#include "model/run/mask_logits.h"

#include <algorithm>
#include <numeric>

#include "model/network/bert.h"
#include "model/network/names.h"

namespace dropforge {

MaskLogits::MaskLogits(const Model& model, int64_t longest, int64_t masked, DType dtype,
                       const kernels::KernelTable& table)
    : config_(model.parameters.config()),
      longest_(longest),
      masked_(masked),
      forward_(
          model.parameters, [&model](const BuildOptions& options) { return mask_logits(model.parameters, options); },
          {.batch = 1, .sequence = longest, .masked = masked, .dtype = dtype, .lengths = true},
          model.values.as<float>(), table) {}

std::vector<float> MaskLogits::of(const data::Batch& batch) {
    data::Batch padded = batch;
    padded.length = bucket_length(batch.length, longest_);
    padded.input_ids.resize(static_cast<size_t>(padded.length));
    padded.lengths = {static_cast<int32_t>(batch.length)};
    padded.masked = masked_;
    padded.masked_positions.resize(static_cast<size_t>(masked_));
    forward_.run(padded);
    const std::span<const float> rows = forward_.output<float>(names::kLogits);
    std::vector<float> logits;
    for (int64_t i = 0; i < batch.masked; ++i) {
        const auto row = rows.begin() + i * config_.padded_vocabulary();
        logits.insert(logits.end(), row, row + config_.vocabulary);
    }
    return logits;
}

std::vector<int32_t> largest(std::span<const float> logits, size_t count) {
    std::vector<int32_t> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    const auto end = ids.begin() + static_cast<ptrdiff_t>(std::min(count, ids.size()));
    const auto logit = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
    std::partial_sort(ids.begin(), end, ids.end(),
                      [&](int32_t a, int32_t b) { return logit(a) > logit(b) || (logit(a) == logit(b) && a < b); });
    ids.erase(end, ids.end());
    return ids;
}

}  // namespace dropforge
