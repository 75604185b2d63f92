// Semantic consistency: means over the rows of a sequence, and the KL divergence of two rows as distributions. Pooling
// reads memory once; the divergence has a few rows, which stay in the cache.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// Number of rows of sequence b that are pooled; p is a PoolForward or PoolBackward.
template <typename Pool>
int64_t pooled_rows(const Pool& p, int64_t b) {
    return p.lengths ? p.lengths[b] : p.count;
}

constexpr int64_t kStripe = 256;  // columns that are summed at a time: a stack buffer that stays in L1

/// Columns begin … begin+size-1 of the mean of sequence b.
template <typename T>
void pool_stripe(const PoolForward& p, int64_t b, int64_t begin, int64_t size) {
    const int64_t n = pooled_rows(p, b);
    const T* x = static_cast<const T*>(p.x) + b * p.per_sequence * p.columns + begin;
    float* pooled = p.pooled + b * p.columns + begin;
    float sum[kStripe] = {};
    for (int64_t r = 0; r < n; ++r)
        for_columns(size, [&](int64_t j, auto count) { add_to(sum + j, load(x + r * p.columns + j, count), count); });
    for_columns(size,
                [&](int64_t j, auto count) { store(pooled + j, load(sum + j, count) / static_cast<float>(n), count); });
}

/// The logarithms of a row's softmax: x - max - log Σ e^(x - max).
class LogSoftmax {
  public:
    // Not inlined: the same code for both rows, so that equal rows give equal bits.
    [[gnu::noinline]] LogSoftmax(const float* x, int64_t columns) : x_(x) {
        constexpr float kLowest = std::numeric_limits<float>::lowest();
        f32v candidates = broadcast(kLowest), total{};
        for_columns(columns, [&](int64_t j, auto count) {
            candidates = max(candidates, select(count, load(x + j, count), broadcast(kLowest)));
        });
        largest_ = largest(candidates);
        for_columns(columns, [&](int64_t j, auto count) { total += only(count, exp(load(x + j, count) - largest_)); });
        log_sum_ = static_cast<float>(std::log(static_cast<double>(sum(total))));
    }
    template <typename Count>
    f32v operator()(int64_t j, Count count) const {
        return load(x_ + j, count) - largest_ - log_sum_;
    }

  private:
    const float* x_;
    float largest_, log_sum_;
};

/// One vector of columns of both distributions; equal rows give equal bits.
struct Pair {
    template <typename Count>
    Pair(const LogSoftmax& log_t, const LogSoftmax& log_p, int64_t j, Count count)
        : log_ratio(log_t(j, count) - log_p(j, count)),
          t(unfused(exp(log_t(j, count)))),
          p(unfused(exp(log_p(j, count)))) {}

    f32v log_ratio;  // log t - log p
    f32v t, p;
};

void row_divergence(const KlDivergence& k, int64_t row) {
    const int64_t begin = row * k.columns;
    const LogSoftmax log_t(k.target + begin, k.columns), log_p(k.input + begin, k.columns);
    f32v total{};
    for_columns(k.columns, [&](int64_t j, auto count) {
        const Pair at(log_t, log_p, j, count);
        // Σ (p - t) = 0, but with it an error in either log Σ cancels to first order: nearly equal rows keep digits.
        total += only(count, at.t * at.log_ratio + (at.p - at.t));
    });
    const float kl = sum(total);
    k.kl[row] = kl;
    if (!k.gradient_scale) return;
    const float scale = scaled(k.gradient_scale, k.loss_scale);
    for_columns(k.columns, [&](int64_t j, auto count) {
        const Pair at(log_t, log_p, j, count);  // read before the results are written, which may be in place
        store(k.dtarget + begin + j, at.t * (at.log_ratio - kl) * scale, count);
        store(k.dinput + begin + j, (at.p - at.t) * scale, count);
    });
}

}  // namespace

void pool_forward(const PoolForward& p, Context&) {
    const int64_t stripes = (p.columns + kStripe - 1) / kStripe;
    const int64_t rows = p.batch * (p.lengths ? p.per_sequence : p.count);
    with_cpu_type(p.dtype, [&](auto type) {
        parallel_for(p.batch * stripes, rows * p.columns, [&](int64_t i) {
            const int64_t first = i % stripes * kStripe;
            pool_stripe<decltype(type)>(p, i / stripes, first, std::min(kStripe, p.columns - first));
        });
    });
}

void pool_backward(const PoolBackward& p, Context&) {
    const int64_t reached = p.accumulate && !p.lengths ? p.count : p.per_sequence;  // rows of a sequence
    with_cpu_type(p.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_for(p.batch * reached, p.batch * reached * p.columns, [&](int64_t i) {
            const int64_t b = i / reached, r = i % reached, n = pooled_rows(p, b);
            T* dx = static_cast<T*>(p.dx) + (b * p.per_sequence + r) * p.columns;
            const float* dpooled = p.dpooled + b * p.columns;
            if (r < n) {
                for_columns(p.columns, [&](int64_t j, auto count) {
                    const f32v share = load(dpooled + j, count) / static_cast<float>(n);
                    store(dx + j, p.accumulate ? load(dx + j, count) + share : share, count);
                });
            } else if (!p.accumulate) {
                std::fill_n(dx, p.columns, T{});
            }
        });
    });
}

void kl_divergence(const KlDivergence& k, Context&) {
    parallel_for(k.rows, k.rows * k.columns, [&](int64_t row) { row_divergence(k, row); });
}

}  // namespace dropforge::kernels::on_cpu
