// Texts to the token ids of a model, as its folder's tokenizer has them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "model/checkpoint/tokenizer_files.h"

namespace dropforge {

/// Not thread-safe (WordPiece).
class TextEncoder {
  public:
    explicit TextEncoder(const ModelTokenizer& tokenizer);

    /// [CLS] text [SEP]. Special and added tokens are found in the text (UTF-8; invalid bytes are dropped).
    std::vector<int32_t> encode(std::string_view text);
    const data::SpecialIds& special() const { return special_; }

  private:
    data::SpecialIds special_;
    data::AddedTokens added_;
    data::WordPiece words_;
};

}  // namespace dropforge
