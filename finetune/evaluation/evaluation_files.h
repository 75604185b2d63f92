// The files of an evaluation: what was predicted, and the logits that it follows from.
#pragma once

#include "base/file.h"
#include "finetune/evaluation/evaluation.h"

namespace dropforge {

/// A prediction in text, of every example: a label, the number of a choice, or a number that reads back exactly. Not of
/// token and span.
std::vector<std::string> prediction_names(const TaskData& data, const tasks::Predictions& predictions);

/// {id: text} of the questions, a line each, in the order of the file.
std::string answers_json(const TaskData& data, const std::vector<std::string>& answers);

/// Writes into a folder that exists: predictions.tsv (index, and prediction as
/// prediction_names() has it); of token predictions.conll (word, gold, predicted); of span predictions.json ({id:
/// text}), of squad2 also answers.json (the best texts) and null_odds.json. Throws Error.
void write_predictions(const fs::path& folder, const TaskData& data, const TaskEvaluation& evaluation);

/// Writes all sequences one after the other, without padding, and what the model says of them: input_ids and
/// token_type_ids [ΣL], lengths [sequences], i32; logits (as in TaskLogits), of span start_logits and end_logits [ΣL],
/// f32. Throws Error.
void write_logits(const fs::path& path, const TaskData& data, const TaskLogits& logits);

}  // namespace dropforge
