#include "model/fill_mask.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "data/wordpiece.h"
#include "model/bert.h"
#include "model/forward_pass.h"
#include "model/huggingface.h"
#include "model/manifest.h"

namespace dropforge {

namespace {

constexpr std::string_view kMask = "[MASK]";

/// [CLS] text [SEP], with each literal [MASK] as the mask token.
data::Batch encode(const std::string& text, data::WordPiece& tokenizer, const data::SpecialIds& special,
                   int64_t max_positions) {
    data::Batch batch{.sequences = 1, .input_ids = {special.cls}};
    std::string_view rest = text;
    while (true) {
        const size_t at = rest.find(kMask);
        tokenizer.encode(rest.substr(0, at), batch.input_ids);
        if (at == std::string_view::npos) break;
        batch.masked_positions.push_back(static_cast<int32_t>(batch.input_ids.size()));
        batch.input_ids.push_back(special.mask);
        rest.remove_prefix(at + kMask.size());
    }
    batch.input_ids.push_back(special.sep);
    batch.length = static_cast<int64_t>(batch.input_ids.size());
    batch.masked = static_cast<int64_t>(batch.masked_positions.size());
    require(batch.masked > 0, "\"{}\": no [MASK] in the text", text);
    require(batch.length <= max_positions, "\"{}\": {} tokens, the model has {} positions", text, batch.length,
            max_positions);
    return batch;
}

std::vector<Filling> likeliest(const float* logits, const data::Vocabulary& vocabulary, int top) {
    const auto n = static_cast<size_t>(vocabulary.size());
    const float largest = *std::max_element(logits, logits + n);
    const double sum =
        std::accumulate(logits, logits + n, 0.0, [&](double s, float x) { return s + std::exp(x - largest); });
    std::vector<int32_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    const auto count = std::min(static_cast<size_t>(top), n);
    std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                      [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); });
    std::vector<Filling> result;
    for (size_t i = 0; i < count; ++i)
        result.push_back({vocabulary.token(order[i]), std::exp(double{logits[order[i]]} - largest) / sum});
    return result;
}

}  // namespace

std::vector<std::vector<std::vector<Filling>>> fill_mask(const fs::path& folder, const std::vector<std::string>& texts,
                                                         int top) {
    require_whole(folder);
    const Model model = load_model(folder);
    const BertConfig& config = model.parameters.config();
    require(model.parameters.heads().mlm, "{}: the model has no MLM head", folder.string());
    const auto vocabulary = load_vocabulary(folder);
    require(vocabulary.size() == config.vocabulary, "{}: {} tokens in the vocabulary, {} in config.json",
            folder.string(), vocabulary.size(), config.vocabulary);
    data::WordPiece tokenizer(vocabulary, tokenizer_is_cased(folder));
    std::vector<std::vector<std::vector<Filling>>> result;
    for (const std::string& text : texts) {
        const data::Batch batch = encode(text, tokenizer, vocabulary.special(), config.max_positions);
        ForwardPass pass(
            model.parameters,
            hidden_states(model.parameters, {.batch = 1, .sequence = batch.length, .masked = batch.masked}),
            model.values.as<float>(), DType::f32, kernels::cpu());
        pass.run(batch);
        const float* logits = pass.output<float>("logits").data();
        const int64_t stride = config.padded_vocabulary();
        auto& fillings = result.emplace_back();
        for (int64_t i = 0; i < batch.masked; ++i) fillings.push_back(likeliest(logits + i * stride, vocabulary, top));
    }
    return result;
}

}  // namespace dropforge
