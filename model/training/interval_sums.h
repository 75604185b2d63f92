// What the steps since the last line of metrics.jsonl have given.
#pragma once

namespace dropforge {

/// Part of a checkpoint: a resumed run writes the same lines.
struct IntervalSums {
    double loss = 0, count = 0, correct = 0;  // of masked positions, of the pass with dropped tokens or the only one
    double steps = 0, kept = 0;               // steps, and in each the share of the tokens that stayed
    double align_steps = 0, align_count = 0;  // semantic-align steps, masked positions in them
    double loss_full = 0, kl_local = 0, kl_global = 0;  // of align steps
};

}  // namespace dropforge
