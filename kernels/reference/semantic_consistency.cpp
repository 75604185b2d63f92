// Semantic-consistent learning (Zhong et al. 2023, section 3.1): the KL divergence of pooled rows of two passes, taken
// as distributions over the hidden dimension.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// Number of rows of sequence b that are pooled; p is a PoolForward or PoolBackward.
template <typename Pool>
int64_t pooled_rows(const Pool& p, int64_t b) {
    return p.lengths ? p.lengths[b] : p.count;
}

template <typename Real, typename T>
void pool(const PoolForward& p) {
    for (int64_t b = 0; b < p.batch; ++b) {
        const T* x = static_cast<const T*>(p.x) + b * p.per_sequence * p.columns;
        const int64_t n = pooled_rows(p, b);
        for (int64_t c = 0; c < p.columns; ++c) {
            Real sum = 0;
            for (int64_t r = 0; r < n; ++r) sum += get<Real>(x[r * p.columns + c]);
            p.pooled[b * p.columns + c] = put<float>(sum / static_cast<Real>(n));
        }
    }
}

template <typename Real, typename T>
void unpool(const PoolBackward& p) {
    for (int64_t b = 0; b < p.batch; ++b) {
        T* dx = static_cast<T*>(p.dx) + b * p.per_sequence * p.columns;
        const int64_t n = pooled_rows(p, b);
        for (int64_t r = 0; r < p.per_sequence; ++r) {
            for (int64_t c = 0; c < p.columns; ++c) {
                const Real share = get<Real>(p.dpooled[b * p.columns + c]) / static_cast<Real>(n);
                assign_or_add(dx[r * p.columns + c], r < n ? share : Real{0}, p.accumulate);
            }
        }
    }
}

/// log softmax(x): x − max − log Σ exp(x − max).
template <typename Real>
std::vector<Real> log_softmax(const float* x, int64_t columns) {
    const auto largest = get<Real>(*std::max_element(x, x + columns));
    Real sum = 0;
    for (int64_t c = 0; c < columns; ++c) sum += std::exp(get<Real>(x[c]) - largest);
    std::vector<Real> logs;
    for (int64_t c = 0; c < columns; ++c) logs.push_back(get<Real>(x[c]) - largest - std::log(sum));
    return logs;
}

/// d kl / d input = p − t, as kl = … − Σ t·log p is a cross-entropy; d kl / d target = t·(log t − log p − kl), as d
/// t[i] / d target[j] = t[i]·([i = j] − t[j]) and Σ t[i]·d log t[i] = 0.
template <typename Real>
void row_divergence(const KlDivergence& k, int64_t row) {
    const auto log_t = log_softmax<Real>(k.target + row * k.columns, k.columns);
    const auto log_p = log_softmax<Real>(k.input + row * k.columns, k.columns);
    Real kl = 0;
    for (size_t c = 0; c < log_t.size(); ++c) kl += std::exp(log_t[c]) * (log_t[c] - log_p[c]);
    k.kl[row] = put<float>(kl);
    if (!k.gradient_scale) return;
    const auto scale = get<Real>(scaled(k.gradient_scale, k.loss_scale));
    for (size_t c = 0; c < log_t.size(); ++c) {
        const Real t = std::exp(log_t[c]), p = std::exp(log_p[c]);
        const int64_t i = row * k.columns + static_cast<int64_t>(c);
        k.dtarget[i] = put<float>(scale * t * (log_t[c] - log_p[c] - kl));
        k.dinput[i] = put<float>(scale * (p - t));
    }
}

}  // namespace

template <typename Real>
void pool_forward(const PoolForward& p, Context&) {
    with_float_type(p.dtype, [&](auto type) { pool<Real, decltype(type)>(p); });
}

template <typename Real>
void pool_backward(const PoolBackward& p, Context&) {
    with_float_type(p.dtype, [&](auto type) { unpool<Real, decltype(type)>(p); });
}

template <typename Real>
void kl_divergence(const KlDivergence& k, Context&) {
    for (int64_t row = 0; row < k.rows; ++row) row_divergence<Real>(k, row);
}

template void pool_forward<double>(const PoolForward&, Context&);
template void pool_forward<float>(const PoolForward&, Context&);
template void pool_backward<double>(const PoolBackward&, Context&);
template void pool_backward<float>(const PoolBackward&, Context&);
template void kl_divergence<double>(const KlDivergence&, Context&);
template void kl_divergence<float>(const KlDivergence&, Context&);

}  // namespace dropforge::kernels::loops
