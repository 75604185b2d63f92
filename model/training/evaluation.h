// Losses and accuracies of the full model on validation shards, with the same masks and pairs whenever and on whatever
// model it is asked.
#pragma once

#include <optional>

#include "data/batches/loader.h"
#include "model/methods/dense.h"
#include "model/network/parameters.h"
#include "model/training/forward_pass.h"

namespace dropforge {

struct EvaluationOptions {
    int64_t batch = 32;           // sequences at a time: memory and speed, not the result
    int64_t sequence = 128;       // S
    int64_t max_predictions = 0;  // M
    double mask_probability = 0.15;
    data::Pairs pairs = data::Pairs::none;  // if any, the model has an NSP head
    double short_sequences = 0.1;
    int64_t sequences = 0;  // at most so many, from the split's beginning; 0: all
    DType dtype = DType::f32;
    std::shared_ptr<const Method> method = dense();  // whose evaluation it is
};

struct EvaluationResult {
    double loss = 0;      // mean over masked positions, nats
    double accuracy = 0;  // share of masked positions whose label has the largest logit
    struct OfPairs {
        double loss = 0, accuracy = 0;  // mean over pairs, nats; share of right answers
    };
    std::optional<OfPairs> pairs = {};
    int64_t masked = 0, sequences = 0;
};

class Evaluator {
  public:
    /// Everything must outlive the evaluator. Throws Error if the split has less than one sequence.
    Evaluator(const Parameters& parameters, const data::Dataset& dataset, const data::SpecialIds& special,
              const EvaluationOptions& options);

    /// The Program that it runs, for whoever plans memory for several.
    static Program program(const Parameters& parameters, const EvaluationOptions& options);

    /// Runs `pass`, which was made from program().
    EvaluationResult run(ForwardPass& pass);

  private:
    EvaluationOptions options_;
    data::EvaluationBatches batches_;
    data::Batch batch_;
};

}  // namespace dropforge
