// Token dropping (Hou et al. 2022, section 3): the values of positions, the choice of those that are kept, and the
// update of the table of importance from a step's losses.
#include <algorithm>
#include <cmath>
#include <compare>
#include <numeric>
#include <vector>

#include "base/philox.h"
#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// u of position p of sequence b of the call, uniform in [0, 1): the upper 24 bits of its word.
float draw(const TokenValues& t, int64_t b, int64_t p) {
    const uint64_t key = t.noise[0] | uint64_t{t.noise[1]} << 32;
    const uint32_t sequence = t.noise[3] + static_cast<uint32_t>(b);
    const Philox4 words = philox4x32({static_cast<uint32_t>(p / 4), sequence, t.site, t.noise[2]}, key);
    return 0x1p-24f * static_cast<float>(words[static_cast<size_t>(p % 4)] >> 8);
}

/// Whether position a precedes position b: real before padding, larger value, lower position. IEEE's total order makes
/// this a strict order even with NaN; adding 0 makes -0 and +0 equal.
bool goes_before(const float* values, int64_t length, int32_t a, int32_t b) {
    const bool a_is_real = a < length, b_is_real = b < length;
    if (a_is_real != b_is_real) return a_is_real;
    const std::strong_ordering order = std::strong_order(values[a] + 0.0f, values[b] + 0.0f);
    return std::is_eq(order) ? a < b : std::is_gt(order);
}

}  // namespace

template <typename Real>
void token_values(const TokenValues& t, Context&) {
    for (int64_t b = 0; b < t.batch; ++b) {
        for (int64_t p = 0; p < t.sequence; ++p) {
            const int64_t i = b * t.sequence + p;
            t.values[i] = t.table[t.ids[i]];
            if (t.noise) assign_or_add(t.values[i], get<Real>(draw(t, b, p)), true);
        }
    }
}

void top_k(const TopK& k, Context&) {
    std::vector<int32_t> order(static_cast<size_t>(k.sequence));
    for (int64_t b = 0; b < k.batch; ++b) {
        const float* values = k.values + b * k.sequence;
        const int64_t length = k.lengths ? k.lengths[b] : k.sequence;
        std::iota(order.begin(), order.end(), 0);
        std::ranges::sort(order, [&](int32_t p, int32_t q) { return goes_before(values, length, p, q); });
        int32_t* kept = k.kept + b * k.keep;
        std::copy_n(order.begin(), k.keep, kept);
        std::sort(kept, kept + k.keep);
        if (k.kept_lengths) k.kept_lengths[b] = static_cast<int32_t>(std::min(length, k.keep));
    }
}

template <typename Real>
void importance_sums(const ImportanceSums& x, Context&) {
    for (int64_t v = 0; v < x.vocabulary; ++v) {
        Real sum = x.accumulate ? get<Real>(x.sums[v]) : Real{0};
        Real count = x.accumulate ? get<Real>(x.counts[v]) : Real{0};
        for (int64_t i = 0; i < x.n; ++i) {
            if (!(x.weights[i] > 0) || x.labels[i] != v) continue;
            sum += get<Real>(x.loss[i]);
            count += 1;
        }
        x.sums[v] = put<float>(sum);
        x.counts[v] = put<float>(count);
    }
}

template <typename Real>
void importance_update(const ImportanceUpdate& u, Context&) {
    if (!std::isfinite(*u.norm)) return;
    const Real beta = static_cast<Real>(u.beta);
    for (int64_t v = 0; v < u.vocabulary; ++v) {
        if (!(u.counts[v] > 0)) continue;
        const Real mean = get<Real>(u.sums[v]) / get<Real>(u.counts[v]);
        u.table[v] = put<float>(beta * get<Real>(u.table[v]) + (1 - beta) * mean);
    }
    for (const FixedValue& fixed : u.fixed) u.table[fixed.id] = fixed.value;
}

template void token_values<double>(const TokenValues&, Context&);
template void token_values<float>(const TokenValues&, Context&);
template void importance_sums<double>(const ImportanceSums&, Context&);
template void importance_sums<float>(const ImportanceSums&, Context&);
template void importance_update<double>(const ImportanceUpdate&, Context&);
template void importance_update<float>(const ImportanceUpdate&, Context&);

}  // namespace dropforge::kernels::loops
