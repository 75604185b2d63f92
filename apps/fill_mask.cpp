#include "apps/fill_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"
#include "model/checkpoint/tokenizer_files.h"
#include "model/run/mask_logits.h"
#include "model/run/trained_by.h"

namespace dropforge {

namespace {

/// A text's ids: [CLS] text [SEP], with the mask token for each literal [MASK].
class Encoder {
  public:
    Encoder(const ModelTokenizer& tokenizer, int64_t max_positions)
        : special_(tokenizer.vocabulary.special()),
          added_(tokenizer.added, tokenizer.normalization),
          words_(tokenizer.vocabulary, tokenizer.normalization),
          max_positions_(max_positions) {}

    data::Batch encode(const std::string& text) {
        data::Batch batch{.sequences = 1, .input_ids = {special_.cls}};
        const auto on_token = [&](int32_t id) {
            if (id == special_.mask) batch.masked_positions.push_back(static_cast<int32_t>(batch.input_ids.size()));
            batch.input_ids.push_back(id);
        };
        added_.split(
            text, [&](std::string_view part) { words_.encode(part, batch.input_ids); }, on_token);
        batch.input_ids.push_back(special_.sep);
        batch.length = static_cast<int64_t>(batch.input_ids.size());
        batch.masked = static_cast<int64_t>(batch.masked_positions.size());
        require(batch.masked > 0, "\"{}\": no [MASK] in the text", text);
        require(batch.length <= max_positions_, "\"{}\": {} tokens, the model has {} positions", text, batch.length,
                max_positions_);
        return batch;
    }

  private:
    data::SpecialIds special_;
    data::AddedTokens added_;
    data::WordPiece words_;
    int64_t max_positions_;
};

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

FillResult fill_mask(const fs::path& folder, const std::vector<std::string>& texts, int top) {
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
    Encoder encoder(tokenizer, config.max_positions);
    for (const std::string& text : texts) {
        const data::Batch batch = encoder.encode(text);
        const std::vector<float> logits = mask_logits(model, batch);
        auto& fillings = result.fillings.emplace_back();
        const auto vocabulary = static_cast<size_t>(config.vocabulary);
        for (size_t first = 0; first < logits.size(); first += vocabulary)
            fillings.push_back(likeliest(std::span(logits).subspan(first, vocabulary), tokenizer, top));
    }
    return result;
}

}  // namespace dropforge
