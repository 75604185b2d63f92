// Softmax cross-entropy over the vocabulary: each row of logits is read from memory once and written once.
#include <cmath>
#include <limits>

#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

namespace {

constexpr float kLowest = std::numeric_limits<float>::lowest();

struct Softmax {
    float largest, sum;  // Σ e^(logit - largest)
};

/// Maximum and sum of a row in one pass over memory with one exponential an element: the maximum of a stretch is found
/// before its sum, which is rescaled when the maximum grows.
template <typename T>
Softmax softmax(const T* logits, int64_t columns) {
    constexpr int64_t kStretch = 512;
    float best = kLowest;
    f32v total{};
    for (int64_t begin = 0; begin < columns; begin += kStretch) {
        const T* x = logits + begin;
        const int64_t size = std::min(kStretch, columns - begin);
        f32v candidates = broadcast(best);
        for_columns(size, [&](int64_t j, auto count) {
            candidates = max(candidates, select(count, load(x + j, count), broadcast(kLowest)));
        });
        const float ahead = largest(candidates);
        if (ahead > best) {
            total *= exp(broadcast(best) - ahead);
            best = ahead;
        }
        for_columns(size, [&](int64_t j, auto count) { total += only(count, exp(load(x + j, count) - best)); });
    }
    return {best, sum(total)};
}

template <typename T>
bool contains(const T* x, int64_t n, float value) {
    bool found = false;
    for (int64_t j = 0; j < n && !found; ++j) found = static_cast<float>(x[j]) == value;
    return found;
}

/// Assigns the gradient, scale * (softmax - one at the label), to the classes.
template <typename T>
void gradient(T* logits, int64_t columns, int64_t label, Softmax s, float scale) {
    const float factor = scale / s.sum;
    const float chosen = exp(broadcast(static_cast<float>(logits[label]) - s.largest))[0] / s.sum;
    for_columns(columns, [&](int64_t j, auto count) {
        store(logits + j, exp(load(logits + j, count) - s.largest) * factor, count);
    });
    logits[label] = static_cast<T>((chosen - 1.0f) * scale);
}

template <typename T>
void row_loss(const CrossEntropy& c, int64_t row) {
    T* logits = static_cast<T*>(c.logits) + row * c.stride;
    const bool counts = !c.weights || c.weights[row] > 0;
    int64_t written = 0;
    c.loss[row] = c.correct[row] = 0;
    if (counts) {
        const int64_t label = c.labels[row];
        const auto logit = static_cast<float>(logits[label]);
        const Softmax s = softmax(logits, c.columns);
        c.loss[row] =
            static_cast<float>(std::log(static_cast<double>(s.sum)) + (static_cast<double>(s.largest) - logit));
        c.correct[row] = logit == s.largest && !contains(logits, label, logit) ? 1.0f : 0.0f;
        if (c.gradient_scale) gradient(logits, c.columns, label, s, scaled(c.gradient_scale, c.loss_scale));
        written = c.columns;
    }
    if (c.gradient_scale) std::fill(logits + written, logits + c.stride, T{});
}

}  // namespace

namespace {

template <typename T>
void cross_entropy_rows(const CrossEntropy& c) {
    // Rows of weight 0 cost little and come in groups, so threads take rows one by one.
    on_threads(c.rows > 1 && c.rows * c.columns >= kWorthThreads,
               [&] { share_out(c.rows, [&](int64_t row) { row_loss<T>(c, row); }); });
}

}  // namespace

void cross_entropy(const CrossEntropy& c, Context&) {
    with_cpu_type(c.dtype, [&](auto type) { cross_entropy_rows<decltype(type)>(c); });
}

void loss_totals(const LossTotals& t, Context&) {
    double loss = 0, weight = 0, correct = 0;
    for (int64_t r = 0; r < t.rows; ++r) {
        loss += t.loss[r];
        weight += t.weights ? t.weights[r] : 1.0f;
        correct += t.correct[r];
    }
    const double totals[] = {loss, weight, correct};
    for (int i = 0; i < 3; ++i) t.totals[i] = static_cast<float>(totals[i] + (t.accumulate ? t.totals[i] : 0.0f));
}

}  // namespace dropforge::kernels::on_cpu
