#include "model/training/bindings.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "model/network/names.h"

namespace dropforge {

void bind_if_named(Executor& executor, std::string_view name, void* pointer) {
    if (executor.program().has(name)) executor.bind(name, pointer);
}

void bind_parameters(Executor& executor, const Parameters& parameters, float* values, uint16_t* copy,
                     float* gradients) {
    for (const Parameters::Entry& p : parameters.entries()) {
        bind_if_named(executor, names::master(p.name), values + p.offset);
        if (copy != nullptr) bind_if_named(executor, names::copy(p.name), copy + p.offset);
        if (gradients != nullptr) bind_if_named(executor, names::gradient(p.name), gradients + p.offset);
    }
}

bool names_parameter(std::string_view name) {
    constexpr std::string_view kPrefixes[] = {names::kMasterPrefix, names::kCopyPrefix, names::kGradientPrefix};
    return std::ranges::any_of(kPrefixes, [&](std::string_view prefix) { return name.starts_with(prefix); });
}

std::set<std::string_view> batch_names() {
    return {names::kInputIds,
            names::kTokenTypeIds,
            names::kLengths,
            names::kMaskedPositions,
            names::kMaskedLabels,
            names::kMaskedWeights,
            names::kNextSentenceLabels,
            names::kLossRows,
            names::kMaskedRows,
            names::kClsRow};
}

void stage_batch(const Staging& staging, const data::Batch& b, int64_t first, int64_t sequences) {
    const auto stage = [&](std::string_view name, const auto& values, int64_t per_sequence) {
        if (values.empty()) return;
        staging.set(name, std::span(values).subspan(static_cast<size_t>(first * per_sequence),
                                                    static_cast<size_t>(sequences * per_sequence)));
    };
    stage(names::kInputIds, b.input_ids, b.length);
    stage(names::kTokenTypeIds, b.token_type_ids, b.length);
    stage(names::kLengths, b.lengths, 1);
    stage(names::kMaskedPositions, b.masked_positions, b.masked);
    stage(names::kMaskedLabels, b.masked_labels, b.masked);
    stage(names::kMaskedWeights, b.masked_weights, b.masked);
    stage(names::kNextSentenceLabels, b.next_sentence_labels, 1);
    if (staging.has(names::kClsRow)) std::ranges::fill(staging.at<int32_t>(names::kClsRow), 0);
    if (!staging.has(names::kLossRows)) return;  // of each sequence [CLS], then the masked positions
    int32_t* rows = staging.at<int32_t>(names::kLossRows).data();
    int32_t* masked_rows = staging.at<int32_t>(names::kMaskedRows).data();
    for (int64_t s = first; s < first + sequences; ++s, rows += b.masked + 1, masked_rows += b.masked) {
        rows[0] = 0;
        std::copy_n(b.masked_positions.data() + s * b.masked, b.masked, rows + 1);
        std::iota(masked_rows, masked_rows + b.masked, 1);
    }
}

void stage_method_inputs(const Staging& staging, const Method& method, const StepInfo& info, const data::Batch& b,
                         int64_t first, int64_t sequences) {
    const auto part = [&](const std::vector<int32_t>& values, int64_t per_sequence) {
        return values.empty() ? std::span<const int32_t>()
                              : std::span(values).subspan(static_cast<size_t>(first * per_sequence),
                                                          static_cast<size_t>(sequences * per_sequence));
    };
    method.fill_inputs(info, {first, b.length, part(b.input_ids, b.length), part(b.lengths, 1)},
                       [&staging](std::string_view name) {
                           return staging.has(name) ? staging.at<int32_t>(name) : std::span<int32_t>();
                       });
}

void check_batch(const Program& program, const data::Batch& b, int64_t sequences, int64_t length, int64_t masked) {
    require(b.sequences == sequences && b.length == length && b.masked == masked,
            "{}: a batch of {} x {} tokens with {} masked positions, built for {} x {} with {}", program.name(),
            b.sequences, b.length, b.masked, sequences, length, masked);
    const auto same = [&](std::string_view name, bool given) {
        require(program.has(name) == given, "{}: {} {} in the batch, but the program was built {}", program.name(),
                name, given ? "is" : "is not", given ? "without" : "with it");
    };
    same(names::kTokenTypeIds, !b.token_type_ids.empty());
    same(names::kLengths, !b.lengths.empty());
    same(names::kNextSentenceLabels, !b.next_sentence_labels.empty());
}

LossHeads heads_of(const data::Batch& batch) { return pretraining_losses(!batch.next_sentence_labels.empty()); }

}  // namespace dropforge
