#include "model/training/evaluation.h"

#include <algorithm>
#include <numeric>

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
            .mask_token_share = o.method->mask_token_share(),
            .pairs = o.pairs,
            .short_sequences = o.short_sequences};
}

double sum(std::span<const float> values) { return std::accumulate(values.begin(), values.end(), 0.0); }

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
    const bool pairs = o.pairs != data::Pairs::none;
    return o.method->evaluation_program(parameters, {.batch = o.batch,
                                                     .sequence = o.sequence,
                                                     .masked = o.max_predictions,
                                                     .dtype = o.dtype,
                                                     .types = pairs,
                                                     .lengths = pairs,
                                                     .heads = pretraining_losses(pairs)});
}

EvaluationResult Evaluator::run(ForwardPass& pass) {
    const auto all = static_cast<int64_t>(batches_.sequences());
    EvaluationResult result{.sequences = options_.sequences > 0 ? std::min(options_.sequences, all) : all};
    double loss = 0, correct = 0, count = 0;
    EvaluationResult::OfPairs pairs;
    for (int64_t first = 0; first < result.sequences; first += options_.batch) {
        batches_.fill(static_cast<uint64_t>(first / options_.batch), batch_);
        const int64_t used = std::min(options_.batch, result.sequences - first);
        std::fill(batch_.masked_weights.begin() + used * options_.max_predictions, batch_.masked_weights.end(), 0.0f);
        pass.run(batch_);
        const std::span<const float> totals = pass.output<float>(names::kMlmTotals);
        loss += totals[0];
        count += totals[1];
        correct += totals[2];
        if (options_.pairs == data::Pairs::none) continue;
        pairs.loss += sum(pass.output<float>(names::kSequenceLoss).first(static_cast<size_t>(used)));
        pairs.accuracy += sum(pass.output<float>(names::kSequenceCorrect).first(static_cast<size_t>(used)));
    }
    require(count > 0, "the evaluation has no masked position");
    result.loss = loss / count;
    result.accuracy = correct / count;
    result.masked = static_cast<int64_t>(count);
    const auto n = static_cast<double>(result.sequences);
    if (options_.pairs != data::Pairs::none) result.pairs = {pairs.loss / n, pairs.accuracy / n};
    return result;
}

}  // namespace dropforge
