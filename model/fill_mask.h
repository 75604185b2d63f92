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

/// For each text, for each [MASK] in it in order: the `top` likeliest tokens, the likeliest first. `model` is a
/// checkpoint with vocab.txt. Throws Error for a text without [MASK] or longer than the model's positions, or a model
/// without an MLM head.
std::vector<std::vector<std::vector<Filling>>> fill_mask(const fs::path& model, const std::vector<std::string>& texts,
                                                         int top);

}  // namespace dropforge
