// Tokens that are found in the text before it is split into words: [MASK] and other special tokens, and those that a
// user adds to a vocabulary.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/normalization.h"

namespace dropforge::data {

struct AddedToken {
    std::string content;
    int32_t id;
    bool normalized = false;  // searched in the normalised text, with normalised `content`
};

/// Finds added tokens as Hugging Face's tokenizers do: leftmost first, of several at one place the longest; tokens for
/// the original text are searched first, those for the normalised text in the stretches that remain.
class AddedTokens {
  public:
    AddedTokens(std::vector<AddedToken> tokens, const Normalization& normalization);

    /// Splits a text: calls, in order, on_text for each stretch between tokens (which may be normalised already;
    /// WordPiece gives the same ids) and on_token with the id of each token.
    template <typename OnText, typename OnToken>
    void split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
        split(raw_, text, on_token, [&](std::string_view rest) {
            if (normalized_.empty()) return on_text(rest);
            split(normalized_, normalize(rest, normalization_), on_token, on_text);
        });
    }

  private:
    struct Match {
        size_t at, size;
        int32_t id;
    };
    static Match first(const std::vector<AddedToken>& tokens, std::string_view text);

    template <typename OnText, typename OnToken>
    static void split(const std::vector<AddedToken>& tokens, std::string_view text, const OnToken& on_token,
                      const OnText& on_text) {
        while (true) {
            const Match match = first(tokens, text);
            on_text(text.substr(0, match.at));
            if (match.size == 0) return;
            on_token(match.id);
            text.remove_prefix(match.at + match.size);
        }
    }

    Normalization normalization_;
    std::vector<AddedToken> raw_, normalized_;
};

}  // namespace dropforge::data
