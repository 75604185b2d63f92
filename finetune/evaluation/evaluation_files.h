// The files of an evaluation: what was predicted, and the logits that it follows from.
#pragma once

#include "base/file.h"
#include "finetune/evaluation/evaluation.h"

namespace dropforge {

/// Writes into a folder that exists: predictions.tsv (index, prediction: a label, the number of a choice, or a number
/// that reads back exactly); of token predictions.conll (word, gold, predicted); of span predictions.json ({id: text}),
/// of squad2 also answers.json (the best texts) and null_odds.json. Throws Error.
void write_predictions(const fs::path& folder, const TaskData& data, const TaskEvaluation& evaluation);

/// Writes all sequences one after the other, without padding, and what the model says of them: input_ids and
/// token_type_ids [ΣL], lengths [sequences], i32; logits (as in TaskLogits), of span start_logits and end_logits [ΣL],
/// f32. Throws Error.
void write_logits(const fs::path& path, const TaskData& data, const TaskLogits& logits);

}  // namespace dropforge
