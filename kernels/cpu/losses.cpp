// Losses with their gradients in place. Softmax cross-entropy over the vocabulary reads each row of logits from memory
// once and writes it once.
#include <cmath>
#include <functional>
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
    const float weight = c.weights ? c.weights[row] : 1.0f;
    int64_t written = 0;
    c.loss[row] = c.correct[row] = 0;
    if (weight > 0) {
        const int64_t label = c.labels[row];
        const auto logit = static_cast<float>(logits[label]);
        const Softmax s = softmax(logits, c.columns);
        const double loss = std::log(static_cast<double>(s.sum)) + (static_cast<double>(s.largest) - logit);
        c.loss[row] = static_cast<float>(weight * loss);
        c.correct[row] = logit == s.largest && !contains(logits, label, logit) ? 1.0f : 0.0f;
        if (c.gradient_scale) gradient(logits, c.columns, label, s, weight * scaled(c.gradient_scale, c.loss_scale));
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

/// Two numbers, of a span's start and end, or a vector with the first in all even lanes and the second in all odd ones:
/// as the logits of the two lie.
struct Borders {
    float start, end;

    f32v lanes() const {
        f32v all{};
        for (int i = 0; i < kLanes; ++i) all[i] = i % 2 == 0 ? start : end;
        return all;
    }
};

/// The first of even and of odd lanes combined with all others by f.
template <typename F>
Borders fold(f32v x, F&& f) {
    Borders result{x[0], x[1]};
    for (int i = 2; i < kLanes; i += 2) {
        const float start = x[i], end = x[i + 1];  // values: an element of a vector has no address
        result = {f(result.start, start), f(result.end, end)};
    }
    return result;
}

void span_loss_of(const SpanLoss& s, int64_t b) {
    float* logits = s.logits + 2 * b * s.per_sequence;
    const float half = 0.5f * (s.weights ? s.weights[b] : 1.0f);
    int64_t written = 0;
    s.loss[b] = 0;
    if (half > 0) {
        const int64_t columns = 2 * (s.lengths ? s.lengths[b] : s.per_sequence);
        float &start = logits[2 * s.starts[b]], &end = logits[2 * s.ends[b] + 1];
        f32v candidates = broadcast(kLowest), total{};
        for_columns(columns, [&](int64_t j, auto count) {
            candidates = max(candidates, select(count, load(logits + j, count), broadcast(kLowest)));
        });
        const f32v largest = fold(candidates, [](float a, float b) { return std::max(a, b); }).lanes();
        for_columns(columns,
                    [&](int64_t j, auto count) { total += only(count, exp(load(logits + j, count) - largest)); });
        const Borders sum = fold(total, std::plus<>());
        const f32v chosen = Borders{start, end}.lanes() - largest;
        s.loss[b] = half * static_cast<float>(std::log(static_cast<double>(sum.start)) - chosen[0] +
                                              std::log(static_cast<double>(sum.end)) - chosen[1]);
        if (s.gradient_scale) {
            const float scale = half * scaled(s.gradient_scale, s.loss_scale);
            const f32v factor = scale / sum.lanes(), at_chosen = (exp(chosen) / sum.lanes() - 1.0f) * scale;
            for_columns(columns, [&](int64_t j, auto count) {
                store(logits + j, exp(load(logits + j, count) - largest) * factor, count);
            });
            start = at_chosen[0];
            end = at_chosen[1];
        }
        written = columns;
    }
    if (s.gradient_scale) std::fill(logits + written, logits + 2 * s.per_sequence, 0.0f);
}

}  // namespace

void cross_entropy(const CrossEntropy& c, Context&) {
    with_cpu_type(c.dtype, [&](auto type) { cross_entropy_rows<decltype(type)>(c); });
}

void squared_error(const SquaredError& s, Context&) {
    const float scale = s.gradient_scale ? 2 * scaled(s.gradient_scale, s.loss_scale) : 0;
    for_columns(s.rows, [&](int64_t j, auto count) {
        const f32v weight = s.weights ? load(s.weights + j, count) : broadcast(1.0f);
        const f32v deviation = load(s.predictions + j, count) - load(s.labels + j, count), slope = weight * deviation;
        store(s.loss + j, weight > 0.0f ? slope * deviation : f32v{}, count);
        if (s.gradient_scale) store(s.predictions + j, weight > 0.0f ? slope * scale : f32v{}, count);
    });
}

void span_loss(const SpanLoss& s, Context&) {
    on_threads(s.batch > 1 && 2 * s.batch * s.per_sequence >= kWorthThreads,
               [&] { share_out(s.batch, [&](int64_t b) { span_loss_of(s, b); }); });
}

void loss_totals(const LossTotals& t, Context&) {
    double loss = 0, weight = 0, correct = 0;
    for (int64_t r = 0; r < t.rows; ++r) {
        loss += t.loss[r];
        weight += t.weights ? t.weights[r] : 1.0f;
        correct += t.correct ? t.correct[r] : 0.0f;
    }
    const double totals[] = {loss, weight, correct};
    for (int i = 0; i < 3; ++i) t.totals[i] = static_cast<float>(totals[i] + (t.accumulate ? t.totals[i] : 0.0f));
}

}  // namespace dropforge::kernels::on_cpu
