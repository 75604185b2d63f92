#include "model/method.h"

#include <algorithm>
#include <cmath>

namespace dropforge {

namespace {

/// From `begin` at step 1 to `end` at step `steps`.
double line(double begin, double end, int64_t step, int64_t steps) {
    if (steps <= 1) return begin;
    return begin + (end - begin) * static_cast<double>(step - 1) / static_cast<double>(steps - 1);
}

}  // namespace

int64_t Keep::of(int64_t sequence) const {
    if (!is_share) return static_cast<int64_t>(value);
    // 0.3 · 10 is 2.9999999999999996 in double precision.
    return static_cast<int64_t>(std::floor(value * static_cast<double>(sequence) * (1 + 1e-12)));
}

StepSchedule::StepSchedule(Method method, const DroppingOptions& dropping, const SctdOptions& sctd, int64_t steps)
    : method_(method), dropping_(dropping), sctd_(sctd), steps_(steps) {}

StepKind StepSchedule::kind(int64_t step) const {
    const bool before_end = dropping_.end_step == 0 || step <= dropping_.end_step;
    if (method_ == Method::dense || step <= dropping_.start_step || !before_end) return StepKind::dense;
    return method_ == Method::sctd && aligns(step) ? StepKind::align : StepKind::dropping;
}

double StepSchedule::lambda(int64_t step) const {
    return line(sctd_.lambda, sctd_.lambda_end.value_or(sctd_.lambda), step, steps_);
}

/// Every interval-th step. Where the interval changes, 1 / interval is the share of align steps, and one comes whenever
/// the shares of the steps so far, added up, pass a whole number.
bool StepSchedule::aligns(int64_t step) const {
    const int64_t end = sctd_.interval_end.value_or(sctd_.interval);
    if (end == sctd_.interval) return step % sctd_.interval == 0;
    // ∑ 1 / interval(s) as an integral over a line: closed, so that any step's kind is known without the ones before.
    const auto passed = [&](int64_t s) {
        const double slope =
            static_cast<double>(end - sctd_.interval) / static_cast<double>(std::max<int64_t>(steps_, 1));
        const double first = static_cast<double>(sctd_.interval);
        return std::floor(std::log1p(slope * static_cast<double>(s) / first) / slope + 1e-9);
    };
    return passed(step) > passed(step - 1);
}

bool StepSchedule::has(StepKind kind) const {
    for (int64_t step = 1; step <= steps_; ++step)
        if (this->kind(step) == kind) return true;
    return false;
}

}  // namespace dropforge
