// Scaled dot-product attention with dropout on the probabilities (Vaswani et al. 2017, section 3.2.1), and its backward
// (Dao et al. 2022, "FlashAttention", appendix B.2).
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dropout.h"
#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// The offsets of one head of one sequence; a is an AttentionForward or AttentionBackward.
template <typename Attention>
struct Head {
    Head(const Attention& a, int64_t batch, int64_t head)
        : q(batch * a.rows_q * a.stride_q + head * a.head_size),
          kv(batch * a.rows_kv * a.stride_kv + head * a.head_size),
          out(batch * a.rows_q * a.stride_out + head * a.head_size),
          lse((batch * a.heads + head) * a.rows_q),
          keys(a.lengths ? a.lengths[batch] : a.rows_kv),
          dropout_row(first_row(a.dropout, a.heads * a.rows_q) + static_cast<uint64_t>(lse)) {}

    int64_t q, kv, out, lse;  // element offsets of row 0
    int64_t keys;             // number of keys attended to
    uint64_t dropout_row;     // query 0's row of dropout
};

template <typename Real, typename T>
Real dot(const T* a, const T* b, int64_t n) {
    Real sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += get<Real>(a[i]) * get<Real>(b[i]);
    return sum;
}

/// s[j] = scale·q·k[j], lse = log Σ exp(s[j]), p[j] = exp(s[j] − lse), out = Σ_j dropout(p[j])·v[j].
template <typename Real, typename T>
void forward(const AttentionForward& a, const Head<AttentionForward>& head) {
    const auto *q = static_cast<const T*>(a.q) + head.q, *k = static_cast<const T*>(a.k) + head.kv;
    const auto* v = static_cast<const T*>(a.v) + head.kv;
    auto* out = static_cast<T*>(a.out) + head.out;
    std::vector<Real> p(static_cast<size_t>(head.keys));
    for (int64_t i = 0; i < a.rows_q; ++i) {
        for (int64_t j = 0; j < head.keys; ++j) {
            p[static_cast<size_t>(j)] =
                get<Real>(a.scale) * dot<Real>(q + i * a.stride_q, k + j * a.stride_kv, a.head_size);
        }
        const Real largest = *std::max_element(p.begin(), p.end());
        Real sum = 0;
        for (Real& score : p) sum += score = std::exp(score - largest);
        a.lse[head.lse + i] = static_cast<float>(largest + std::log(sum));
        for (int64_t j = 0; j < head.keys; ++j) {
            const float factor = dropout_factor(a.dropout, head.dropout_row + static_cast<uint64_t>(i), j);
            Real& probability = p[static_cast<size_t>(j)];
            probability = intermediate<T>(probability / sum * static_cast<Real>(factor));
        }
        for (int64_t d = 0; d < a.head_size; ++d) {
            Real value = 0;
            for (int64_t j = 0; j < head.keys; ++j)
                value += p[static_cast<size_t>(j)] * get<Real>(v[j * a.stride_kv + d]);
            out[i * a.stride_out + d] = put<T>(value);
        }
    }
}

/// Probabilities after dropout, and the gradients at the scores times scale, of one head: [rows_q, keys] each.
/// With m = the dropout factor: ds[i,j] = p[i,j]·(m[i,j]·dout[i]·v[j] − Σ_j' m[i,j']·p[i,j']·dout[i]·v[j']), where the
/// last sum is dout[i]·out[i].
template <typename Real>
struct Scores {
    std::vector<Real> dropped, gradient;
};
template <typename Real, typename T>
Scores<Real> score_gradients(const AttentionBackward& a, const Head<AttentionBackward>& head) {
    const auto *q = static_cast<const T*>(a.q) + head.q, *k = static_cast<const T*>(a.k) + head.kv;
    const auto* v = static_cast<const T*>(a.v) + head.kv;
    const auto *out = static_cast<const T*>(a.out) + head.out, *dout = static_cast<const T*>(a.dout) + head.out;
    Scores<Real> s;
    for (int64_t i = 0; i < a.rows_q; ++i) {
        const T* dout_row = dout + i * a.stride_out;
        const Real delta = dot<Real>(dout_row, out + i * a.stride_out, a.head_size);
        for (int64_t j = 0; j < head.keys; ++j) {
            const Real score = get<Real>(a.scale) * dot<Real>(q + i * a.stride_q, k + j * a.stride_kv, a.head_size);
            const Real p = std::exp(score - get<Real>(a.lse[head.lse + i]));
            const auto factor =
                static_cast<Real>(dropout_factor(a.dropout, head.dropout_row + static_cast<uint64_t>(i), j));
            const Real ds = p * (factor * dot<Real>(dout_row, v + j * a.stride_kv, a.head_size) - delta);
            s.dropped.push_back(intermediate<T>(p * factor));
            s.gradient.push_back(intermediate<T>(get<Real>(a.scale) * ds));
        }
    }
    return s;
}

/// dv[j] = Σ_i dropout(p)[i,j]·dout[i], dq[i] = scale·Σ_j ds[i,j]·k[j], dk[j] = scale·Σ_i ds[i,j]·q[i].
template <typename Real, typename T>
void backward(const AttentionBackward& a, const Head<AttentionBackward>& head) {
    const auto *q = static_cast<const T*>(a.q) + head.q, *k = static_cast<const T*>(a.k) + head.kv;
    const auto* dout = static_cast<const T*>(a.dout) + head.out;
    auto *dq = static_cast<T*>(a.dq) + head.q, *dk = static_cast<T*>(a.dk) + head.kv,
         *dv = static_cast<T*>(a.dv) + head.kv;
    const Scores<Real> s = score_gradients<Real, T>(a, head);
    const auto at = [&](int64_t i, int64_t j) { return static_cast<size_t>(i * head.keys + j); };
    for (int64_t d = 0; d < a.head_size; ++d) {
        for (int64_t i = 0; i < a.rows_q; ++i) {
            Real sum = 0;
            for (int64_t j = 0; j < head.keys; ++j) sum += s.gradient[at(i, j)] * get<Real>(k[j * a.stride_kv + d]);
            dq[i * a.stride_q + d] = put<T>(sum);
        }
        for (int64_t j = 0; j < a.rows_kv; ++j) {
            Real key = 0, value = 0;
            for (int64_t i = 0; j < head.keys && i < a.rows_q; ++i) {
                key += s.gradient[at(i, j)] * get<Real>(q[i * a.stride_q + d]);
                value += s.dropped[at(i, j)] * get<Real>(dout[i * a.stride_out + d]);
            }
            dk[j * a.stride_kv + d] = put<T>(key);
            dv[j * a.stride_kv + d] = put<T>(value);
        }
    }
}

}  // namespace

template <typename Real>
void attention_forward(const AttentionForward& a, Context&) {
    with_float_type(a.dtype, [&](auto type) {
        for (int64_t b = 0; b < a.batch; ++b)
            for (int64_t h = 0; h < a.heads; ++h) forward<Real, decltype(type)>(a, {a, b, h});
    });
}

template <typename Real>
void attention_backward(const AttentionBackward& a, Context&) {
    with_float_type(a.dtype, [&](auto type) {
        for (int64_t b = 0; b < a.batch; ++b)
            for (int64_t h = 0; h < a.heads; ++h) backward<Real, decltype(type)>(a, {a, b, h});
    });
}

template void attention_forward<double>(const AttentionForward&, Context&);
template void attention_forward<float>(const AttentionForward&, Context&);
template void attention_backward<double>(const AttentionBackward&, Context&);
template void attention_backward<float>(const AttentionBackward&, Context&);

}  // namespace dropforge::kernels::loops
