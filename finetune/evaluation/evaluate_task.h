// The evaluation of a fine-tuned model, without training.
#pragma once

#include "devices/device.h"
#include "finetune/evaluation/task_files.h"

namespace dropforge {

struct EvaluateTaskOptions {
    fs::path model, evaluated, out;  // out: of predictions and logits; empty: none are written
    TaskChoice task;
    FinetuneConfig config = {};  // data and eval
    DType dtype = DType::f32;
    Device device = cpu_device();
};

struct EvaluatedTask {
    TaskData data;
    TaskEvaluation evaluation;
    std::vector<std::string> notes = {};
};

/// Throws Error for a model without a head for the task, and for files that do not fit.
EvaluatedTask evaluate_task(const EvaluateTaskOptions& options);

}  // namespace dropforge
