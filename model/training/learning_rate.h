// The learning rate of a step: linear warm-up, then a decay.
#pragma once

#include <cstdint>

namespace dropforge {

enum class ScheduleKind : uint8_t { linear, cosine, polynomial, constant };

/// With T = steps, w = warmup_steps, t = 1 … T the step whose update is made, and p = (t − 1 − w) / (T − w) the share
/// of the decay that is done before it:
///   t ≤ w        lr · t / w
///   linear       end_lr + (lr − end_lr) · (1 − p)
///   polynomial   end_lr + (lr − end_lr) · (1 − p)^power
///   cosine       end_lr + (lr − end_lr) · ½ (1 + cos πp)
///   constant     lr
/// (cosine: Loshchilov & Hutter 2017, SGDR, equation 5, without restarts)
///
/// The decays are those of Hugging Face's get_*_schedule_with_warmup for its 0-based step t − 1. Its warm-up is (t − 1)
/// / w; ours is t / w, so that no update is wasted on a rate of 0. After step T the rate is end_lr (constant: lr).
/// (BERT's own code lets the decay begin at step 0, under the warm-up: it then falls by w/T at the end of the warm-up.)
struct Schedule {
    ScheduleKind kind = ScheduleKind::linear;
    double lr = 1e-4, end_lr = 0, power = 1;
    int64_t warmup_steps = 0, steps = 1;

    /// `step` counts from 1.
    double at(int64_t step) const;
};

}  // namespace dropforge
