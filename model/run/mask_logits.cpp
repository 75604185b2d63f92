#include "model/run/mask_logits.h"

#include <algorithm>
#include <numeric>

#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/training/forward_pass.h"

namespace dropforge {

std::vector<float> mask_logits(const Model& model, const data::Batch& batch) {
    const BertConfig& config = model.parameters.config();
    ForwardPass pass(model.parameters,
                     hidden_states(model.parameters, {.batch = 1, .sequence = batch.length, .masked = batch.masked}),
                     model.values.as<float>(), DType::f32, kernels::cpu());
    pass.run(batch);
    const std::span<const float> padded = pass.output<float>(names::kLogits);
    std::vector<float> logits;
    for (int64_t i = 0; i < batch.masked; ++i) {
        const auto row = padded.begin() + i * config.padded_vocabulary();
        logits.insert(logits.end(), row, row + config.vocabulary);
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
