#include "model/checkpoint/text_encoder.h"

namespace dropforge {

TextEncoder::TextEncoder(const ModelTokenizer& tokenizer)
    : special_(tokenizer.vocabulary.special()),
      added_(tokenizer.added, tokenizer.normalization),
      words_(tokenizer.vocabulary, tokenizer.normalization) {}

std::vector<int32_t> TextEncoder::encode(std::string_view text) {
    std::vector<int32_t> ids = {special_.cls};
    added_.split(
        text, [&](std::string_view part) { words_.encode(part, ids); }, [&](int32_t id) { ids.push_back(id); });
    ids.push_back(special_.sep);
    return ids;
}

}  // namespace dropforge
