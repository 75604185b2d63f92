// The lines of a pretraining run's metrics.jsonl.
#pragma once

#include <cstdint>
#include <optional>

#include "model/methods/method.h"
#include "model/run/meter.h"
#include "model/run/metrics.h"
#include "model/run/plan.h"

namespace dropforge {

/// Training steps, up to `step`. The first block is the same, bit for bit, in a run that was killed and resumed and in
/// one that never was; the second depends on the clock.
struct StepMetrics {
    int64_t step = 0, tokens = 0;  // tokens since the start of the run, the padding of pairs included
    double loss = 0;               // nats a masked token; NaN if none could be masked
    double mlm_accuracy = 0;       // share of masked tokens, as every accuracy here
    double lr = 0, grad_norm = 0;  // the norm before clipping
    // What only some runs have: loss_scale in fp16 (after a norm that is not finite the update is skipped), and
    // Method::metrics(), such as nsp_loss and nsp_accuracy of sentence pairs. Where tokens are dropped, loss and
    // accuracy above are of the pass without them.
    NamedNumbers extras = {};

    double time = 0;  // seconds since 1970
    double sequences_per_second = 0, tokens_per_second = 0;
    std::optional<double> mfu = {};  // share of the measured GEMM peak; none where that is not known
    double seconds_waiting_for_data = 0;

    operator MetricsLine() const;
};

/// Those of a run: `interval` has the sums (Method::add_up()) of the steps since the last line, of which `last` is the
/// last.
StepMetrics step_metrics(const RunPlan& plan, const StepOutcome& last, const NamedNumbers& interval,
                         const TrainingSpeed& speed);

/// An evaluation on the validation shards after a step.
struct EvalMetrics {
    int64_t step = 0;
    double eval_loss = 0, eval_accuracy = 0;
    std::optional<EvaluationResult::OfPairs> pairs = {};

    double time = 0, eval_seconds = 0;

    operator MetricsLine() const;
};

}  // namespace dropforge
