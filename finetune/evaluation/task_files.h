// The files of a task as a model reads them.
#pragma once

#include <string>
#include <vector>

#include "finetune/config/config.h"
#include "finetune/evaluation/evaluation.h"
#include "finetune/evaluation/task_model.h"

namespace dropforge {

/// A task as its user names it.
struct TaskChoice {
    std::string name;
    std::vector<std::string> labels = {}, columns = {};  // empty: as the files have them
};

/// Pieces of a sequence: config.data.max_length, by default the task's, at most the model's positions.
int64_t task_length(const TaskChoice& choice, const FinetuneConfig& config, const BertConfig& model);

struct TaskFiles {
    TaskData training, evaluated;
};

/// Reads both, with the labels that choose_labels() gives. Throws Error for files that do not fit the task, each other
/// or the model, and for one without an item.
TaskFiles read_task_files(const TaskChoice& choice, const fs::path& training, const fs::path& evaluated,
                          const FinetuneConfig& config, const ModelFolder& model);
/// Reads the training file alone: nine tenths of it to train on, the others to evaluate on, by `seed` (hold_out).
TaskFiles read_held_out(const TaskChoice& choice, const fs::path& training, const FinetuneConfig& config,
                        const ModelFolder& model, int64_t seed);
/// Reads a file to evaluate a fine-tuned model on.
TaskData read_task_file(const TaskChoice& choice, const fs::path& evaluated, const FinetuneConfig& config,
                        const ModelFolder& model);

/// The logits of a row that the task's head makes: classes; of choice, those of an item.
int64_t head_columns(const TaskData& data);

/// What a user is told of a file: examples that were cut, lines that were left out.
std::vector<std::string> notes_on(const TaskData& data, int64_t max_length);

}  // namespace dropforge
