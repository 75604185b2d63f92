#include "kernels/cuda/attention/attention_reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dropforge::kernels::on_cuda {

namespace {

double dot(const double* a, const double* b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}
void add(double factor, const double* x, double* to, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * x[i];
}

/// softmax(scale * q·kᵀ) of one query.
std::vector<double> probabilities(const AttentionHead& h, const double* q) {
    std::vector<double> p(static_cast<size_t>(h.keys));
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (size_t j = 0; j < p.size(); ++j) {
        p[j] = h.scale * dot(q, h.k.data() + static_cast<int64_t>(j) * h.head_size, h.head_size);
        largest = std::max(largest, p[j]);
    }
    for (double& x : p) sum += x = std::exp(x - largest);
    for (double& x : p) x /= sum;
    return p;
}

}  // namespace

AttentionHeadResult attention_of_head(const AttentionHead& h) {
    const int64_t size = h.head_size;
    AttentionHeadResult r;
    r.out.resize(h.q.size());
    r.dq.resize(h.q.size());
    r.dk.resize(h.k.size());
    r.dv.resize(h.k.size());
    for (int64_t i = 0; i < h.rows_q; ++i) {
        const std::vector<double> p = probabilities(h, h.q.data() + i * size);
        const double *q = h.q.data() + i * size, *dout = h.dout.data() + i * size;
        std::vector<double> dp(p.size());
        double expected = 0;  // Σ p·dp
        for (size_t j = 0; j < p.size(); ++j) {
            const int64_t key = static_cast<int64_t>(j) * size;
            const double factor = h.kept[static_cast<size_t>(i * h.rows_kv) + j] ? 1 / (1 - h.dropout) : 0;
            add(p[j] * factor, h.v.data() + key, r.out.data() + i * size, size);
            add(p[j] * factor, dout, r.dv.data() + key, size);
            dp[j] = factor * dot(dout, h.v.data() + key, size);
            expected += p[j] * dp[j];
        }
        for (size_t j = 0; j < p.size(); ++j) {
            const int64_t key = static_cast<int64_t>(j) * size;
            const double ds = h.scale * p[j] * (dp[j] - expected);
            add(ds, h.k.data() + key, r.dq.data() + i * size, size);
            add(ds, q, r.dk.data() + key, size);
        }
    }
    return r;
}

}  // namespace dropforge::kernels::on_cuda
