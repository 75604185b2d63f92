// Masked language modelling for people: the likeliest words for each [MASK] of a text.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "engine/tensor.h"

namespace dropforge {

struct Filling {
    std::string token;
    double probability;
};

struct FillResult {
    std::vector<std::vector<std::vector<Filling>>> fillings;  // of each text, of each [MASK], the likeliest first
    std::vector<std::string> notes;                           // for the user, about the model's files
};

struct FillOptions {
    int top = 5;
    DType dtype = DType::f32;
    std::string device = "auto";
};

/// The `top` likeliest tokens for each [MASK]. Rows of the decoder without a token take part in the softmax, but are no
/// results. Special and added tokens are recognised in the text. Error for a text without [MASK] or longer than the
/// model's positions, or a model without an MLM head.
FillResult fill_mask(const fs::path& model, const std::vector<std::string>& texts, const FillOptions& options);

}  // namespace dropforge
