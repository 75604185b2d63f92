#include "model/training/bindings.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "model/network/builder.h"

namespace dropforge {

void bind_if_named(Executor& executor, std::string_view name, void* pointer) {
    if (executor.program().has(name)) executor.bind(name, pointer);
}

void bind_parameters(Executor& executor, const Parameters& parameters, float* values, uint16_t* copy,
                     float* gradients) {
    for (const Parameters::Entry& p : parameters.entries()) {
        bind_if_named(executor, Builder::master_name(p.name), values + p.offset);
        if (copy != nullptr) bind_if_named(executor, Builder::copy_name(p.name), copy + p.offset);
        if (gradients != nullptr) bind_if_named(executor, Builder::gradient_name(p.name), gradients + p.offset);
    }
}

bool names_parameter(std::string_view name) {
    for (const std::string& prefix : {Builder::master_name(""), Builder::copy_name(""), Builder::gradient_name("")})
        if (name.starts_with(prefix)) return true;
    return false;
}

void stage_batch(const Staging& staging, const data::Batch& b, int64_t first, int64_t sequences) {
    const auto stage = [&](std::string_view name, const auto& values, int64_t per_sequence) {
        if (values.empty()) return;
        staging.set(name, std::span(values).subspan(static_cast<size_t>(first * per_sequence),
                                                    static_cast<size_t>(sequences * per_sequence)));
    };
    stage("input_ids", b.input_ids, b.length);
    stage("token_type_ids", b.token_type_ids, b.length);
    stage("lengths", b.lengths, 1);
    stage("masked_positions", b.masked_positions, b.masked);
    stage("masked_labels", b.masked_labels, b.masked);
    stage("masked_weights", b.masked_weights, b.masked);
    stage("next_sentence_labels", b.next_sentence_labels, 1);
    if (!staging.has("loss_rows")) return;  // of each sequence [CLS], then the masked positions
    int32_t* rows = staging.at<int32_t>("loss_rows").data();
    int32_t* masked_rows = staging.at<int32_t>("masked_rows").data();
    for (int64_t s = first; s < first + sequences; ++s, rows += b.masked + 1, masked_rows += b.masked) {
        rows[0] = 0;
        std::copy_n(b.masked_positions.data() + s * b.masked, b.masked, rows + 1);
        std::iota(masked_rows, masked_rows + b.masked, 1);
    }
}

void check_batch(const Program& program, const data::Batch& b, int64_t sequences, int64_t length, int64_t masked) {
    require(b.sequences == sequences && b.length == length && b.masked == masked,
            "{}: a batch of {} x {} tokens with {} masked positions, built for {} x {} with {}", program.name(),
            b.sequences, b.length, b.masked, sequences, length, masked);
    const auto same = [&](std::string_view name, bool there) {
        require(program.has(name) == there, "{}: {} {} in the batch, but the program was built {}", program.name(),
                name, there ? "is" : "is not", there ? "without" : "with it");
    };
    same("token_type_ids", !b.token_type_ids.empty());
    same("lengths", !b.lengths.empty());
    same("next_sentence_labels", !b.next_sentence_labels.empty());
}

}  // namespace dropforge
