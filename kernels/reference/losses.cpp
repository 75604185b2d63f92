// Softmax cross-entropy with its gradient in place, and the sums of a step's losses.
#include <algorithm>
#include <cmath>

#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// Whether `label` is the first among the largest of the logits.
template <typename T>
bool is_first_largest(const T* logits, int64_t columns, int64_t label) {
    const auto largest = static_cast<float>(logits[label]);
    for (int64_t c = 0; c < columns; ++c) {
        const auto other = static_cast<float>(logits[c]);
        if (c < label ? !(other < largest) : !(other <= largest)) return false;
    }
    return true;
}

/// loss = log Σ exp(z[c]) − z[label]; dloss/dz[c] = softmax(z)[c] − [c = label].
template <typename Real, typename T>
void row_loss(const CrossEntropy& x, int64_t r) {
    T* logits = static_cast<T*>(x.logits) + r * x.stride;
    const int64_t label = x.labels[r];
    const bool counts = !x.weights || x.weights[r] > 0;

    auto largest = get<Real>(logits[0]);
    for (int64_t c = 1; c < x.columns; ++c) largest = std::max(largest, get<Real>(logits[c]));
    Real sum = 0;
    for (int64_t c = 0; c < x.columns; ++c) sum += std::exp(get<Real>(logits[c]) - largest);

    const Real loss = largest - get<Real>(logits[label]) + std::log(sum);
    x.loss[r] = counts ? static_cast<float>(loss) : 0.0f;
    x.correct[r] = counts && is_first_largest(logits, x.columns, label) ? 1.0f : 0.0f;
    if (!x.gradient_scale) return;
    for (int64_t c = 0; c < x.stride; ++c) {
        Real gradient = 0;
        if (counts && c < x.columns) {
            const Real target = c == label ? 1 : 0;
            gradient = (std::exp(get<Real>(logits[c]) - largest) / sum - target) *
                       get<Real>(scaled(x.gradient_scale, x.loss_scale));
        }
        logits[c] = put<T>(gradient);
    }
}

}  // namespace

template <typename Real>
void cross_entropy(const CrossEntropy& x, Context&) {
    with_float_type(x.dtype, [&](auto type) {
        for (int64_t r = 0; r < x.rows; ++r) row_loss<Real, decltype(type)>(x, r);
    });
}

template <typename Real>
void loss_totals(const LossTotals& t, Context&) {
    Real loss = 0, weight = 0, correct = 0;
    for (int64_t r = 0; r < t.rows; ++r) {
        loss += get<Real>(t.loss[r]);
        weight += t.weights ? get<Real>(t.weights[r]) : Real{1};
        correct += get<Real>(t.correct[r]);
    }
    assign_or_add(t.totals[0], loss, t.accumulate);
    assign_or_add(t.totals[1], weight, t.accumulate);
    assign_or_add(t.totals[2], correct, t.accumulate);
}

template void cross_entropy<double>(const CrossEntropy&, Context&);
template void cross_entropy<float>(const CrossEntropy&, Context&);
template void loss_totals<double>(const LossTotals&, Context&);
template void loss_totals<float>(const LossTotals&, Context&);

}  // namespace dropforge::kernels::loops
