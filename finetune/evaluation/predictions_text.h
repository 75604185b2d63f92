// What is printed of predictions for texts without labels.
#pragma once

#include <string>

#include "finetune/evaluation/predict_task.h"

namespace dropforge {

/// A line for each example after a header: the prediction and the probability of each label or choice, between tabs; of
/// regression the number alone. Of token a line for each word, after each sentence an empty one: word, probability of
/// the label ("-" for a word without a piece), label, between spaces. Of span {id: text}.
std::string predictions_text(const PredictedTask& predicted);

/// A JSON object a line for each example, with numbers in all digits: prediction, and probabilities by label, of choice
/// in their order; of token words, predictions, probabilities (null for a word without a piece); of span id,
/// prediction, null_odds.
std::string predictions_json_lines(const PredictedTask& predicted);

}  // namespace dropforge
