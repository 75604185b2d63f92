#include "model/training/evaluation.h"

#include <algorithm>

#include "base/error.h"
#include "model/network/bert.h"
#include "model/network/names.h"

namespace dropforge {

namespace {

data::LoaderOptions loader_options(const EvaluationOptions& o) {
    return {.seed = 0,  // fixed: two evaluations are comparable
            .batch = o.batch,
            .length = o.sequence,
            .max_predictions = o.max_predictions,
            .mask_probability = o.mask_probability,
            .mask_token_share = o.method->mask_token_share()};
}

}  // namespace

Evaluator::Evaluator(const Parameters& parameters, const data::Dataset& dataset, const data::SpecialIds& special,
                     const EvaluationOptions& options)
    : options_(options), batches_(dataset, special, loader_options(options)) {
    require(parameters.config().vocabulary >= dataset.vocabulary_size(),
            "{}: a vocabulary of {} tokens, the model has only {}", dataset.folder().string(),
            dataset.vocabulary_size(), parameters.config().vocabulary);
    require(batches_.sequences() > 0, "{}: the validation split has less than one sequence of {} tokens",
            dataset.folder().string(), options.sequence);
}

Program Evaluator::program(const Parameters& parameters, const EvaluationOptions& o) {
    return o.method->evaluation_program(
        parameters, {.batch = o.batch, .sequence = o.sequence, .masked = o.max_predictions, .dtype = o.dtype});
}

EvaluationResult Evaluator::run(ForwardPass& pass) {
    const auto all = static_cast<int64_t>(batches_.sequences());
    EvaluationResult result{.sequences = options_.sequences > 0 ? std::min(options_.sequences, all) : all};
    double loss = 0, correct = 0, count = 0;
    for (int64_t first = 0; first < result.sequences; first += options_.batch) {
        batches_.fill(static_cast<uint64_t>(first / options_.batch), batch_);
        const int64_t used = std::min(options_.batch, result.sequences - first) * options_.max_predictions;
        std::fill(batch_.masked_weights.begin() + used, batch_.masked_weights.end(), 0.0f);
        pass.run(batch_);
        const std::span<const float> totals = pass.output<float>(names::kMlmTotals);
        loss += totals[0], count += totals[1], correct += totals[2];
    }
    require(count > 0, "the evaluation has no masked position");
    result.loss = loss / count;
    result.accuracy = correct / count;
    result.masked = static_cast<int64_t>(count);
    return result;
}

}  // namespace dropforge
