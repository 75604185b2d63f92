// Prediction files: predictions.tsv, .conll or .json, and the odds of no answer beside the last.
#pragma once

#include "data/tasks/metrics/metrics.h"

namespace dropforge::tasks {

/// A prediction for each of the examples that were evaluated, as examples: what was predicted stands where their label
/// does (span: where the first answer does). Throws Error, with file and line or the question's id, for a prediction
/// that is missing or too many, another order, or other words than the file that was evaluated has.
ExampleFile read_predictions(const Task& task, const fs::path& path, const ExampleFile& evaluated);

/// Of what read_predictions() gave, after index_labels().
Predictions predictions_of(const Task& task, ExampleFile file);

/// The odds of {id: number}. Throws Error for a question without a number, and for a number without a question.
NullOdds read_null_odds(const fs::path& path, const ExampleFile& evaluated);

}  // namespace dropforge::tasks
