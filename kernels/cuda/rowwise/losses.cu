// Losses with their gradients in place: softmax cross-entropy over the vocabulary, squared error, the borders of a
// span; and the sums of a step.
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

/// A block has a row: 30 522 logits of 16 bits are 60 KiB, too much for shared memory on some devices, but the second
/// reading finds what the first left in the second-level cache (two rows an SM: 13 MiB on an A100, of 40).
/// So device memory sees each row once in and once out. 512 threads take eight packs each; at most 64 registers let two
/// blocks run on an SM, one of which reads while the other waits at its reductions.
constexpr int kRowThreads = 512;

/// Largest logit and Σ e^(logit - largest) of a thread's logits so far: one pass, rescaled when the largest grows.
struct RunningSoftmax {
    float largest = Maximum::kNeutral, sum = 0;

    /// Adds the first `valid` of N logits.
    template <int N>
    __device__ void add(const float (&logit)[N], int64_t valid) {
        float ahead = largest;
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (i < valid) ahead = fmaxf(ahead, logit[i]);
        float total = sum * expf(largest - ahead);
#pragma unroll
        for (int i = 0; i < N; ++i)
            if (i < valid) total += expf(logit[i] - ahead);
        largest = ahead;
        sum = total;
    }
};

struct CrossEntropyArguments {
    const int32_t* labels;
    const float *weights, *gradient_scale, *loss_scale;
    float *loss, *correct;
    int64_t columns, stride;
};

/// The second pass over a row: writes the gradient (where a scale is given) and returns whether a logit before the
/// label's equals the largest.
template <typename T, int N>
__device__ bool finish_row(T* logits, const CrossEntropyArguments& c, int64_t label, float weight, float largest,
                           float inverse) {
    const bool write = c.gradient_scale != nullptr;
    const float factor = write ? weight * scaled(c.gradient_scale, c.loss_scale) : 0;
    const int64_t end = write ? c.stride : label;
    bool earlier = false;
    for (int64_t column = int64_t{threadIdx.x} * N; column < end; column += kRowThreads * N) {
        float value[N];
        load<N>(logits + column, value);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            earlier = earlier || (column + i < label && value[i] == largest);
            const float probability = expf(value[i] - largest) * inverse;
            const float gradient = (probability - (column + i == label ? 1.0f : 0.0f)) * factor;
            value[i] = column + i < c.columns ? gradient : 0.0f;  // the padding's logits are arbitrary
        }
        if (write) store<N>(logits + column, value);
    }
    return earlier;
}

template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads, 2) cross_entropy_kernel(T* all_logits, CrossEntropyArguments c) {
    const int64_t row = blockIdx.x;
    T* logits = all_logits + row * c.stride;
    const float weight = c.weights ? c.weights[row] : 1.0f;
    if (!(weight > 0)) {  // all threads of the block
        if (threadIdx.x == 0) c.loss[row] = c.correct[row] = 0;
        if (!c.gradient_scale) return;
        const float zero[N] = {};
        for (int64_t column = int64_t{threadIdx.x} * N; column < c.stride; column += kRowThreads * N)
            store<N>(logits + column, zero);
        return;
    }
    const int64_t label = c.labels[row];
    const auto logit = static_cast<float>(logits[label]);  // read by all before the reductions, overwritten after them
    RunningSoftmax s;
    for (int64_t column = int64_t{threadIdx.x} * N; column < c.columns; column += kRowThreads * N) {
        float value[N];
        load<N>(logits + column, value);
        s.add<N>(value, c.columns - column);
    }
    const float largest = block_reduce(s.largest, Maximum{});
    const float sum = block_reduce(s.sum * expf(s.largest - largest), Sum{});
    bool earlier = false;
    if (c.gradient_scale || logit == largest)  // all threads of the block
        earlier = finish_row<T, N>(logits, c, label, weight, largest, 1.0f / sum);
    const bool any_earlier = __syncthreads_or(earlier) != 0;
    if (threadIdx.x != 0) return;
    c.loss[row] = weight * (logf(sum) + (largest - logit));
    c.correct[row] = logit == largest && !any_earlier ? 1.0f : 0.0f;
}

void cross_entropy(const CrossEntropy& c, Context& context) {
    if (c.rows == 0) return;
    const CrossEntropyArguments arguments{c.labels, c.weights, c.gradient_scale, c.loss_scale,
                                          c.loss,   c.correct, c.columns,        c.stride};
    with_device_type(c.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(c.stride, {c.logits}, [&](auto pack) {
            launch(cross_entropy_kernel<T, pack()>, context, {blocks_for(c.rows, 1), kRowThreads},
                   static_cast<T*>(c.logits), arguments);
        });
    });
}

constexpr int kSquareThreads = 256;

__global__ void __launch_bounds__(kSquareThreads) squared_error_kernel(SquaredError s) {
    const int64_t row = int64_t{blockIdx.x} * kSquareThreads + threadIdx.x;
    if (row >= s.rows) return;
    const float weight = s.weights ? s.weights[row] : 1.0f, deviation = s.predictions[row] - s.labels[row];
    const bool counts = weight > 0;
    s.loss[row] = counts ? weight * deviation * deviation : 0.0f;
    if (!s.gradient_scale) return;
    s.predictions[row] = counts ? 2 * weight * scaled(s.gradient_scale, s.loss_scale) * deviation : 0.0f;
}

void squared_error(const SquaredError& s, Context& context) {
    if (s.rows == 0) return;
    launch(squared_error_kernel, context, {blocks_for(s.rows, kSquareThreads), kSquareThreads}, s);
}

/// A block has a sequence, a thread one or two positions of the usual 384.
constexpr int kSpanThreads = 256;
constexpr int kBorders = 2;

__global__ void __launch_bounds__(kSpanThreads) span_loss_kernel(SpanLoss s) {
    const int64_t sequence = blockIdx.x;
    float* logits = s.logits + kBorders * s.per_sequence * sequence;
    const float half = 0.5f * (s.weights ? s.weights[sequence] : 1.0f);
    const bool counts = half > 0;
    const int64_t length = !counts ? 0 : s.lengths ? s.lengths[sequence] : s.per_sequence;
    const int64_t target[kBorders] = {s.starts[sequence], s.ends[sequence]};
    float chosen[kBorders] = {}, inverse[kBorders], largest[kBorders], loss = 0;
    RunningSoftmax running[kBorders];
    for (int64_t position = threadIdx.x; position < length; position += kSpanThreads) {
        float logit[kBorders];
        load<kBorders>(logits + kBorders * position, logit);
#pragma unroll
        for (int i = 0; i < kBorders; ++i) running[i].add<1>({logit[i]}, 1);
    }
#pragma unroll
    for (int i = 0; i < kBorders; ++i) {
        if (counts) chosen[i] = logits[kBorders * target[i] + i];  // before the reductions: then it is overwritten
        largest[i] = block_reduce(running[i].largest, Maximum{});
        const float sum = block_reduce(running[i].sum * expf(running[i].largest - largest[i]), Sum{});
        inverse[i] = 1.0f / sum;
        loss += logf(sum) + (largest[i] - chosen[i]);
    }
    if (threadIdx.x == 0) s.loss[sequence] = counts ? half * loss : 0.0f;
    if (!s.gradient_scale) return;
    const float factor = half * scaled(s.gradient_scale, s.loss_scale);
    for (int64_t position = threadIdx.x; position < s.per_sequence; position += kSpanThreads) {
        float value[kBorders] = {};
        if (position < length) {
            load<kBorders>(logits + kBorders * position, value);
#pragma unroll
            for (int i = 0; i < kBorders; ++i) {
                const float probability = expf(value[i] - largest[i]) * inverse[i];
                value[i] = (probability - (position == target[i] ? 1.0f : 0.0f)) * factor;
            }
        }
        store<kBorders>(logits + kBorders * position, value);
    }
}

void span_loss(const SpanLoss& s, Context& context) {
    if (s.batch == 0) return;
    launch(span_loss_kernel, context, {blocks_for(s.batch, 1), kSpanThreads}, s);
}

constexpr int kTotalsThreads = 1024;

/// One block: a thousand rows take one SM a few microseconds, less than a second launch would.
__global__ void __launch_bounds__(kTotalsThreads)
    loss_totals_kernel(const float* __restrict__ loss, const float* __restrict__ weights,
                       const float* __restrict__ correct, float* totals, int64_t rows, bool accumulate) {
    float sum[3] = {};
    for (int64_t row = threadIdx.x; row < rows; row += kTotalsThreads) {
        sum[0] += loss[row];
        sum[1] += weights ? weights[row] : 1.0f;
        sum[2] += correct ? correct[row] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 3; ++i) {
        const float total = block_reduce(sum[i], Sum{});
        if (threadIdx.x == 0) totals[i] = total + (accumulate ? totals[i] : 0.0f);
    }
}

void loss_totals(const LossTotals& t, Context& context) {
    launch(loss_totals_kernel, context, {1, kTotalsThreads}, t.loss, t.weights, t.correct, t.totals, t.rows,
           t.accumulate);
}

}  // namespace dropforge::kernels::on_cuda
