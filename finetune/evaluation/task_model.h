// A model folder that a task is trained on, or was: encoder, head, labels, tokenizer.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "data/tasks/task.h"
#include "engine/buffer.h"
#include "model/checkpoint/tokenizer_files.h"
#include "model/task_heads/task_head.h"

namespace dropforge {

/// What a model folder says beside its weights.
struct ModelFolder {
    fs::path path;
    BertConfig config;
    ModelTokenizer tokenizer;
    std::vector<std::string> labels = {};           // id2label, in the order of the logits; empty: it has none
    std::optional<double> classifier_dropout = {};  // absent: as hidden_dropout_prob
    std::string architecture = {};                  // the class with which transformers opens it; "": it says none
    std::string problem_type = {};                  // of BertForSequenceClassification; "": it says none

    /// Throws Error if it is no model, or damaged, or if its vocabulary has tokens past the model's tables.
    static ModelFolder open(const fs::path& path);
};

/// The head of a task. `columns`: classes; of choice, the choices of an item.
TaskHeadPointer task_head(const tasks::Task& task, int64_t columns, float dropout);

/// Writes config.json (with the labels, and what transformers needs to know of the kind of task), model.safetensors and
/// the tokenizer's files, so that transformers opens the folder as it is.
void save_task_model(const fs::path& folder, const tasks::Task& task, const std::vector<std::string>& labels,
                     const Parameters& parameters, const float* values, const ModelFolder& model,
                     double classifier_dropout);

}  // namespace dropforge
