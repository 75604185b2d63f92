// Losses with their gradients in place: softmax cross-entropy, squared error, the borders of a span; and their sums.
#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// The weight of row r: 0 unless it is above 0.
template <typename Real>
Real weight_of(const float* weights, int64_t r) {
    return !weights ? 1 : weights[r] > 0 ? get<Real>(weights[r]) : 0;
}

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

/// loss = weight·(log Σ exp(z[c]) − z[label]); dloss/dz[c] = weight·(softmax(z)[c] − [c = label]).
template <typename Real, typename T>
void row_loss(const CrossEntropy& x, int64_t r) {
    T* logits = static_cast<T*>(x.logits) + r * x.stride;
    const int64_t label = x.labels[r];
    const Real weight = weight_of<Real>(x.weights, r);
    const bool counts = weight > 0;

    auto largest = get<Real>(logits[0]);
    for (int64_t c = 1; c < x.columns; ++c) largest = std::max(largest, get<Real>(logits[c]));
    Real sum = 0;
    for (int64_t c = 0; c < x.columns; ++c) sum += std::exp(get<Real>(logits[c]) - largest);

    const Real loss = weight * (largest - get<Real>(logits[label]) + std::log(sum));
    x.loss[r] = counts ? static_cast<float>(loss) : 0.0f;
    x.correct[r] = counts && is_first_largest(logits, x.columns, label) ? 1.0f : 0.0f;
    if (!x.gradient_scale) return;
    for (int64_t c = 0; c < x.stride; ++c) {
        Real gradient = 0;
        if (counts && c < x.columns) {
            const Real target = c == label ? 1 : 0;
            gradient = (std::exp(get<Real>(logits[c]) - largest) / sum - target) *
                       (weight * get<Real>(scaled(x.gradient_scale, x.loss_scale)));
        }
        logits[c] = put<T>(gradient);
    }
}

/// The cross-entropy of `target` and the softmax over the first `length` of one border's logits, which are two apart;
/// its gradient times `scale`, if given, overwrites them, and 0 those of positions length … per_sequence-1.
template <typename Real>
Real border_loss(float* logits, int64_t length, int64_t per_sequence, int64_t target, std::optional<Real> scale) {
    auto largest = get<Real>(logits[0]);
    for (int64_t i = 1; i < length; ++i) largest = std::max(largest, get<Real>(logits[2 * i]));
    Real sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += std::exp(get<Real>(logits[2 * i]) - largest);
    const Real loss = largest - get<Real>(logits[2 * target]) + std::log(sum);
    for (int64_t i = 0; scale && i < per_sequence; ++i) {
        const Real probability = i < length ? std::exp(get<Real>(logits[2 * i]) - largest) / sum : 0;
        logits[2 * i] = static_cast<float>((probability - (i == target ? 1 : 0)) * *scale);
    }
    return loss;
}

}  // namespace

template <typename Real>
void cross_entropy(const CrossEntropy& x, Context&) {
    with_float_type(x.dtype, [&](auto type) {
        for (int64_t r = 0; r < x.rows; ++r) row_loss<Real, decltype(type)>(x, r);
    });
}

template <typename Real>
void squared_error(const SquaredError& x, Context&) {
    for (int64_t r = 0; r < x.rows; ++r) {
        const Real weight = weight_of<Real>(x.weights, r);
        const Real deviation = get<Real>(x.predictions[r]) - get<Real>(x.labels[r]);
        const bool counts = weight > 0;
        x.loss[r] = counts ? static_cast<float>(weight * deviation * deviation) : 0.0f;
        if (!x.gradient_scale) continue;
        const Real factor = 2 * weight * get<Real>(scaled(x.gradient_scale, x.loss_scale));
        x.predictions[r] = counts ? static_cast<float>(factor * deviation) : 0.0f;
    }
}

template <typename Real>
void span_loss(const SpanLoss& x, Context&) {
    for (int64_t b = 0; b < x.batch; ++b) {
        float* logits = x.logits + 2 * b * x.per_sequence;
        const Real half = weight_of<Real>(x.weights, b) / 2;
        x.loss[b] = 0;
        if (half > 0) {
            const int64_t length = x.lengths ? x.lengths[b] : x.per_sequence;
            std::optional<Real> scale;
            if (x.gradient_scale) scale = half * get<Real>(scaled(x.gradient_scale, x.loss_scale));
            x.loss[b] = static_cast<float>(half * (border_loss(logits, length, x.per_sequence, x.starts[b], scale) +
                                                   border_loss(logits + 1, length, x.per_sequence, x.ends[b], scale)));
        } else if (x.gradient_scale) {
            std::fill_n(logits, 2 * x.per_sequence, 0.0f);
        }
    }
}

template <typename Real>
void loss_totals(const LossTotals& t, Context&) {
    Real loss = 0, weight = 0, correct = 0;
    for (int64_t r = 0; r < t.rows; ++r) {
        loss += get<Real>(t.loss[r]);
        weight += t.weights ? get<Real>(t.weights[r]) : Real{1};
        correct += t.correct ? get<Real>(t.correct[r]) : Real{0};
    }
    assign_or_add(t.totals[0], loss, t.accumulate);
    assign_or_add(t.totals[1], weight, t.accumulate);
    assign_or_add(t.totals[2], correct, t.accumulate);
}

template void cross_entropy<double>(const CrossEntropy&, Context&);
template void cross_entropy<float>(const CrossEntropy&, Context&);
template void squared_error<double>(const SquaredError&, Context&);
template void squared_error<float>(const SquaredError&, Context&);
template void span_loss<double>(const SpanLoss&, Context&);
template void span_loss<float>(const SpanLoss&, Context&);
template void loss_totals<double>(const LossTotals&, Context&);
template void loss_totals<float>(const LossTotals&, Context&);

}  // namespace dropforge::kernels::loops
