#include "report/step_batch.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/kernels.h"
#include "model/checkpoint/checkpoint.h"
#include "model/methods/token_dropping.h"
#include "model/network/names.h"
#include "model/run/inputs.h"

namespace dropforge::report {

namespace {

BatchSequence sequence_of(const data::Batch& batch, size_t row, const data::Vocabulary& vocabulary) {
    const auto slots = static_cast<size_t>(batch.masked), begin = row * static_cast<size_t>(batch.length);
    const auto length = static_cast<size_t>(batch.lengths.empty() ? batch.length : batch.lengths[row]);
    const data::SpecialIds& special = vocabulary.special();
    BatchSequence sequence;
    for (size_t i = begin; i < begin + length; ++i) {
        const int32_t id = batch.input_ids[i];
        sequence.tokens.push_back({.id = id,
                                   .piece = vocabulary.token(id),
                                   .special = id == special.cls || id == special.sep,
                                   .segment = batch.token_type_ids.empty() ? 0 : batch.token_type_ids[i]});
    }
    for (size_t slot = row * slots; slot < (row + 1) * slots; ++slot)
        if (batch.masked_weights[slot] > 0)
            sequence.tokens[static_cast<size_t>(batch.masked_positions[slot])].label =
                vocabulary.token(batch.masked_labels[slot]);
    if (!batch.next_sentence_labels.empty()) sequence.pair_label = batch.next_sentence_labels[row];
    return sequence;
}

/// Marks the `keep` tokens that stay, as the kernels of a step choose them.
void choose(std::vector<BatchToken>& tokens, const std::vector<float>& table, int64_t keep) {
    if (std::ssize(tokens) <= keep) return;  // padding is dropped first
    std::vector<float> values(tokens.size());
    std::ranges::transform(tokens, values.begin(),
                           [&](const BatchToken& token) { return table[static_cast<size_t>(token.id)]; });
    std::vector<int32_t> kept(static_cast<size_t>(keep));
    const auto context = kernels::cpu().create_context();
    kernels::cpu().top_k({.values = values.data(),
                          .lengths = nullptr,
                          .kept = kept.data(),
                          .kept_lengths = nullptr,
                          .batch = 1,
                          .sequence = std::ssize(tokens),
                          .keep = keep},
                         *context);
    for (size_t i = 0; i < tokens.size(); ++i) {
        tokens[i].kept = std::ranges::binary_search(kept, static_cast<int32_t>(i));
        if (std::abs(values[i]) < kNeverDropped) tokens[i].importance = values[i];
    }
}

/// The checkpoint's values of token ids, if the method chooses by them alone; empty else.
std::vector<float> table_of(const RunConfig& config, const fs::path& checkpoint) {
    if (checkpoint.empty() || config.method_options.of<DroppingOptions>().routing == "random") return {};
    const auto states = load_method_states(checkpoint);
    const auto found = states.find(names::kImportance);
    if (found == states.end()) return {};
    require(std::ssize(found->second) == config.model.vocabulary, "{}: a table of {} tokens, the data has {}",
            checkpoint.string(), found->second.size(), config.model.vocabulary);
    return found->second;
}

}  // namespace

StepBatch read_step_batch(RunConfig config, int64_t step, int64_t sequences, const fs::path& checkpoint) {
    const data::Dataset dataset(config.data.path, data::Split::train);
    const auto vocabulary = data::Vocabulary::load(dataset.vocabulary_path());
    take_vocabulary(config, dataset, vocabulary);
    config.train.steps = std::max(config.train.steps, step);  // as a run that goes on
    config.validate();
    const std::shared_ptr<const Method> method = config.method();
    data::BatchMaker maker(dataset, vocabulary.special(), loader_options(config, *method));
    data::Batch batch;
    maker.fill(static_cast<uint64_t>(step - 1), batch);
    const StepKind kind = method->kind(step);
    const uint64_t first = static_cast<uint64_t>((step - 1) * config.train.batch);
    StepBatch result{.step = step,
                     .first_sample = first,
                     .epoch = maker.epoch(static_cast<uint64_t>(step - 1)),
                     .kind = method->kind_name(kind)};
    const std::vector<ChosenRows> chosen = method->chosen(kind);
    const std::vector<float> table = chosen.empty() ? std::vector<float>() : table_of(config, checkpoint);
    if (!table.empty()) result.kept = chosen.front().count;
    for (int64_t row = 0; row < std::min(sequences, batch.sequences); ++row) {
        BatchSequence sequence = sequence_of(batch, static_cast<size_t>(row), vocabulary);
        if (!table.empty()) choose(sequence.tokens, table, result.kept);
        result.sequences.push_back(std::move(sequence));
    }
    return result;
}

}  // namespace dropforge::report
