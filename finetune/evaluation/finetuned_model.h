// A model that was fine-tuned, here or elsewhere: what its head is for, and what it says.
#pragma once

#include "devices/device.h"
#include "finetune/evaluation/evaluation.h"
#include "finetune/evaluation/task_model.h"

namespace dropforge {

struct TrainedHead {
    tasks::Kind kind;                      // single: of one text or of two
    std::vector<std::string> labels = {};  // in the order of the logits, LABEL_n without names; none: the kind has none
};

/// What config.json says of the head, and its tensor of the number of labels. Throws Error for a model without a head
/// for a task, or whose labels are not as many as the head has.
TrainedHead trained_head(const ModelFolder& model);

struct LogitsOptions {
    int64_t batch = 32;      // items at a time, which changes no logit
    int64_t max_length = 0;  // of the data's sequences
    DType dtype = DType::f32;
};

/// What the model says of the data. Throws Error if the folder has no head for the task, or if a weight is not finite.
TaskLogits logits_of(const ModelFolder& model, const TaskData& data, const LogitsOptions& options,
                     const Device& device);

}  // namespace dropforge
