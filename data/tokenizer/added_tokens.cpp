#include "data/tokenizer/added_tokens.h"

#include "base/error.h"

namespace dropforge::data {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalization& normalization)
    : normalization_(normalization) {
    for (AddedToken& token : tokens) {
        if (token.normalized) token.content = normalize(token.content, normalization);
        require(!token.content.empty(), "an added token is empty");
        (token.normalized ? normalized_ : raw_).push_back(std::move(token));
    }
}

/// Without a match, one of size 0 at the end.
AddedTokens::Match AddedTokens::first(const std::vector<AddedToken>& tokens, std::string_view text) {
    Match best{text.size(), 0, 0};
    for (const AddedToken& token : tokens) {
        const size_t at = text.find(token.content);
        if (at < best.at || (at == best.at && token.content.size() > best.size))
            best = {at, token.content.size(), token.id};
    }
    return best;
}

}  // namespace dropforge::data
