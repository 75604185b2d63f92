#include "apps/fill_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "devices/choice/choose_device.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/text_encoder.h"
#include "model/run/mask_logits.h"
#include "model/run/trained_by.h"

namespace dropforge {

namespace {

/// A text with its [MASK] as a batch of one sequence.
data::Batch encode(TextEncoder& encoder, const std::string& text, int64_t max_positions) {
    data::Batch batch{.sequences = 1, .input_ids = encoder.encode(text)};
    batch.length = static_cast<int64_t>(batch.input_ids.size());
    for (size_t i = 0; i < batch.input_ids.size(); ++i)
        if (batch.input_ids[i] == encoder.special().mask) batch.masked_positions.push_back(static_cast<int32_t>(i));
    batch.masked = static_cast<int64_t>(batch.masked_positions.size());
    require(batch.masked > 0, "\"{}\": no [MASK] in the text", text);
    require(batch.length <= max_positions, "\"{}\": {} tokens, the model has {} positions", text, batch.length,
            max_positions);
    return batch;
}

/// The likeliest tokens by logits [rows], the first size() of which belong to tokens.
std::vector<Filling> likeliest(std::span<const float> logits, const ModelTokenizer& tokenizer, int top) {
    const float largest_logit = *std::ranges::max_element(logits);
    const double sum = std::accumulate(logits.begin(), logits.end(), 0.0,
                                       [&](double s, float x) { return s + std::exp(x - largest_logit); });
    std::vector<Filling> result;
    for (const int32_t id : largest(logits.first(static_cast<size_t>(tokenizer.size())), static_cast<size_t>(top)))
        result.push_back(
            {tokenizer.token(id), std::exp(double{logits[static_cast<size_t>(id)]} - largest_logit) / sum});
    return result;
}

}  // namespace

FillResult fill_mask(const fs::path& folder, const std::vector<std::string>& texts, const FillOptions& options) {
    require_intact(folder);
    const Model model = load_model(folder);
    const BertConfig& config = model.parameters.config();
    require_mlm_head(model, folder);
    const ModelTokenizer tokenizer = load_tokenizer(folder);
    require(tokenizer.size() <= config.vocabulary, "{}: {} tokens, but config.json says {}", folder.string(),
            tokenizer.size(), config.vocabulary);
    FillResult result{.fillings = {}, .notes = notes_on(model, folder)};
    result.notes.insert(result.notes.end(), tokenizer.notes.begin(), tokenizer.notes.end());
    if (const std::string note = trained_by(folder, config, config.max_positions, 1)->note_on_filling(); !note.empty())
        result.notes.push_back(note);
    TextEncoder encoder(tokenizer);
    std::vector<data::Batch> batches;
    batches.reserve(texts.size());
    for (const std::string& text : texts) batches.push_back(encode(encoder, text, config.max_positions));
    const int64_t longest = std::ranges::max(batches, {}, &data::Batch::length).length,
                  masked = std::ranges::max(batches, {}, &data::Batch::masked).masked;
    const Device device = choose_device(options.device);
    require_computes(device, options.dtype);
    MaskLogits mask_logits(model, longest, masked, options.dtype, *device.kernels);
    for (const data::Batch& batch : batches) {
        const std::vector<float> logits = mask_logits.of(batch);
        auto& fillings = result.fillings.emplace_back();
        const auto vocabulary = static_cast<size_t>(config.vocabulary);
        for (size_t first = 0; first < logits.size(); first += vocabulary)
            fillings.push_back(likeliest(std::span(logits).subspan(first, vocabulary), tokenizer, options.top));
    }
    return result;
}

}  // namespace dropforge
