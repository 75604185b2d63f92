// The quick look that everyone takes: the likeliest words for each [MASK] of a sentence.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

struct Filling {
    std::string token;
    double probability;
};

struct FillResult {
    std::vector<std::vector<std::vector<Filling>>> fillings;  // of each text, of each [MASK], the likeliest first
    std::vector<std::string> notes;                           // what a user should know of the model's files
};

/// The `top` likeliest tokens for each [MASK]; rows of the decoder that no token has count as probability, but are
/// none. Special and added tokens are recognised in the text. Throws Error for a text without [MASK] or longer than the
/// model's positions, or a model without an MLM head.
FillResult fill_mask(const fs::path& model, const std::vector<std::string>& texts, int top);

}  // namespace dropforge
