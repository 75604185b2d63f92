// All that is known of a fine-tuning run before it starts: files, labels, model, shapes, memory.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "devices/device.h"
#include "finetune/config/config.h"
#include "finetune/evaluation/task_files.h"
#include "finetune/evaluation/task_predictor.h"
#include "finetune/task_step.h"
#include "model/run/plan.h"

namespace dropforge {

struct FinetuneOptions {
    fs::path model, training, evaluated, out;
    TaskChoice task;
    FinetuneConfig config;
    Device device = cpu_device();
    std::string grid = {};  // grid_points(): settings to choose among first
    int64_t seeds = 1;      // runs, of config.train.seed and those that follow it
    bool quiet = false;
    std::string revision;  // of the program's source, for the checkpoints

    /// The folder of the run with that seed.
    fs::path folder_of(int64_t seed) const { return seeds == 1 ? out : out / fmt::format("seed-{}", seed); }
};

struct FinetunePlan {
    /// Reads everything; with `choosing`, to choose settings by, the training file alone (read_held_out). Throws Error
    /// for files that do not fit the task, each other or the model.
    explicit FinetunePlan(const FinetuneOptions& options, bool choosing = false);

    ModelFolder model;
    FinetuneConfig config;  // with train.precision and train.micro_batch as they were resolved
    int64_t max_length;     // pieces of a sequence
    TaskFiles files;
    ResolvedPrecision precision;
    double classifier_dropout;
    TaskHeadPointer head;
    Parameters parameters;
    PredictorOptions predictor;
    TaskStepOptions step;
    std::vector<std::string> notes = {};

    /// The length of the bucket for sequences of up to `longest` pieces.
    int64_t bucket_of(int64_t longest) const { return bucket_length(longest, max_length, predictor.bucket_step); }
    const tasks::Task& task() const { return files.training.task; }
    const std::vector<std::string>& labels() const { return files.training.labels; }
    /// ⌈items / batch⌉.
    int64_t steps_per_epoch() const;
    int64_t steps() const;
    ScoringOptions scoring() const;

  private:
    void choose_micro_batch(const Device& device);
};

/// The training set's tensors that are trained: not those of the embeddings and the first `frozen` layers, if any is
/// frozen. The rate of layer i of L is decay^(L−1−i), of the embeddings decay^L, of heads 1 (Howard & Ruder 2018,
/// section 3.2, in BERT's form: Sun et al. 2019, section 5.3.3).
std::vector<kernels::Segment> trained_segments(const Parameters& parameters, int64_t frozen, double decay);

}  // namespace dropforge
