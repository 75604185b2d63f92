// What a model says of the items of a file.
#pragma once

#include "finetune/evaluation/evaluation.h"
#include "model/task_heads/task_head.h"
#include "model/training/bucketed_forward.h"

namespace dropforge {

struct PredictorOptions {
    int64_t batch = 32;      // items at a time
    int64_t sequences = 1;   // of an item
    int64_t max_length = 0;  // of a sequence
    int64_t bucket_step = kBucketStep;
    int32_t pad = 0;  // id that fills sequences up
    DType dtype = DType::f32;
};

class TaskPredictor {
  public:
    /// With memory of its own; `values`, in host memory, must outlive this, as must `parameters`.
    TaskPredictor(const Parameters& parameters, TaskHeadPointer head, const PredictorOptions& options,
                  const float* values, const kernels::KernelTable& table);
    /// With a training step's memory.
    TaskPredictor(const Parameters& parameters, TaskHeadPointer head, const PredictorOptions& options,
                  const Resources& resources);

    /// Bytes of an arena in which its Programs run.
    static int64_t arena_bytes(const Parameters& parameters, const TaskHeadPointer& head,
                               const PredictorOptions& options);

    /// Items of about one length go through the model together: the logits do not depend on which do.
    TaskLogits run(const TaskData& data);

  private:
    TaskHeadPointer head_;
    PredictorOptions options_;
    BucketedForward forward_;
};

}  // namespace dropforge
