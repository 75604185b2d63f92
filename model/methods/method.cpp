#include "model/methods/method.h"

#include <fmt/format.h>

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
    // 0.29 · 100 is 28.999999999999996 in double precision: a product within rounding of an integer is that integer.
    return static_cast<int64_t>(std::floor(value * static_cast<double>(sequence) * (1 + 1e-12)));
}

std::string Keep::text() const {
    if (!is_share) return std::to_string(static_cast<int64_t>(value));
    return value == 1 ? "1.0" : fmt::format("{}", value);  // 1 would be a count
}

StepSchedule::StepSchedule(Method method, const DroppingOptions& dropping, const SctdOptions& sctd, int64_t steps)
    : method_(method), dropping_(dropping), sctd_(sctd), steps_(steps) {}

StepKind StepSchedule::kind(int64_t step) const {
    const bool before_end = dropping_.end_step == 0 || step <= dropping_.end_step;
    if (!drops_tokens(method_) || step <= dropping_.start_step || !before_end) return StepKind::dense;
    return aligns_semantics(method_) && aligns(step) ? StepKind::align : StepKind::dropping;
}

double StepSchedule::lambda(int64_t step) const { return line(sctd_.lambda, sctd_.last_lambda(), step, steps_); }

int64_t StepSchedule::aligned_through(int64_t step) const {
    const auto first = static_cast<double>(sctd_.interval), last = static_cast<double>(sctd_.last_interval());
    if (first == last) return step / sctd_.interval;
    const double slope = (last - first) / static_cast<double>(std::max<int64_t>(steps_, 1));
    // The sum of the rates as an integral over the line: any step's kind is known without the ones before.
    const double due = std::log1p(slope * static_cast<double>(step) / first) / slope;
    return static_cast<int64_t>(std::floor(due + 1e-9));
}

int64_t StepSchedule::count(StepKind kind) const {
    const int64_t begin = std::clamp<int64_t>(dropping_.start_step, 0, steps_);
    const int64_t end = dropping_.end_step == 0 ? steps_ : std::clamp<int64_t>(dropping_.end_step, begin, steps_);
    const int64_t not_dense = drops_tokens(method_) ? end - begin : 0;
    const int64_t align = aligns_semantics(method_) ? aligned_through(end) - aligned_through(begin) : 0;
    switch (kind) {
        case StepKind::dense:
            return steps_ - not_dense;
        case StepKind::dropping:
            return not_dense - align;
        case StepKind::align:
            return align;
    }
    return 0;
}

bool StepSchedule::has(StepKind kind) const { return count(kind) > 0; }

}  // namespace dropforge
