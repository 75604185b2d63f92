// Predictions of a fine-tuned model for texts without labels.
#pragma once

#include <limits>

#include "devices/device.h"
#include "finetune/config/config.h"
#include "finetune/evaluation/evaluation.h"

namespace dropforge {

struct PredictTaskOptions {
    fs::path model, text;        // text: as tasks::read_unlabelled() takes it
    FinetuneConfig config = {};  // data; eval.batch
    /// span: the answer is "" where the odds of that are larger.
    double null_threshold = std::numeric_limits<double>::infinity();
    DType dtype = DType::f32;
    Device device = cpu_device();
};

struct PredictedTask {
    TaskData data;  // of span the task is squad2, of one text or two single or pair
    TaskLogits logits;
    TaskPredictions predictions;
    std::vector<std::string> notes = {};
};

/// The kind of task is that of the model's head. Throws Error for a model without one, and for a text that does not fit
/// it.
PredictedTask predict_task(const PredictTaskOptions& options);

}  // namespace dropforge
