#include "model/training/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dropforge {

double Schedule::at(int64_t step) const {
    if (step <= warmup_steps) return lr * static_cast<double>(step) / static_cast<double>(warmup_steps);
    if (kind == ScheduleKind::constant) return lr;
    if (step > steps) return end_lr;
    const double p = static_cast<double>(step - 1 - warmup_steps) / static_cast<double>(steps - warmup_steps);
    double left = 1 - p;
    if (kind == ScheduleKind::polynomial) left = std::pow(left, power);
    if (kind == ScheduleKind::cosine) left = 0.5 * (1 + std::cos(std::numbers::pi * p));
    return end_lr + (lr - end_lr) * left;
}

}  // namespace dropforge
