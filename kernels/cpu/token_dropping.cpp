// Token dropping: the values of positions, the choice of those that are kept, and the table of importance. All of it is
// small compared with a layer, so only loops over all positions or table entries are threaded or vectorised.
#include <algorithm>
#include <bit>
#include <cmath>

#include "base/philox.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// Adds its draw to each of the values of sequence b of the call.
void add_noise(const TokenValues& t, int64_t b, float* values) {
    const uint64_t key = t.noise[0] | uint64_t{t.noise[1]} << 32;
    const uint32_t sequence = t.noise[3] + static_cast<uint32_t>(b);
    for (int64_t begin = 0; begin < t.sequence; begin += 4) {
        const Philox4 words = philox4x32({static_cast<uint32_t>(begin / 4), sequence, t.site, t.noise[2]}, key);
        const int64_t end = std::min(begin + 4, t.sequence);
        for (int64_t p = begin; p < end; ++p)
            values[p] += 0x1p-24f * static_cast<float>(words[static_cast<size_t>(p - begin)] >> 8);
    }
}

/// A number (or a vector of them) as an integer of the same order, with -0 = +0. A NaN sorts beyond the infinity of its
/// sign. Negative numbers have all bits inverted, others the first.
template <typename Key, typename Float>
Key ordered(Float x) {
    const Key bits = std::bit_cast<Key>(x + 0.0f);  // -0 + 0 = +0
    return bits ^ ((Key{} - (bits >> 31)) | 0x80000000u);
}

inline i32v lanes(Full) { return i32v{} - 1; }
inline i32v lanes(Part part) { return iota() < part.count; }

/// How many of n values come after `key` in that order.
int64_t count_above(const float* values, int64_t n, uint32_t key) {
    i32v minus_counts{};
    for_columns(n, [&](int64_t j, auto count) {
        const i32v above = ordered<u32v>(load(values + j, count)) > key;
        minus_counts += above & lanes(count);
    });
    int64_t total = 0;
    for (int i = 0; i < kLanes; ++i) total -= minus_counts[i];
    return total;
}

/// A key that exactly k of n values reach or, if there is none because of ties, the key of the k-th largest: found bit
/// by bit from the top.
uint32_t threshold(const float* values, int64_t n, int64_t k) {
    uint32_t key = 0;
    for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        const int64_t reach = count_above(values, n, (key | bit) - 1);
        if (reach >= k) key |= bit;
        if (reach == k) break;
    }
    return key;
}

/// Writes the positions of the k largest among values[begin] … values[end-1] in ascending order; lower positions win
/// ties.
void select_largest(const float* values, int64_t begin, int64_t end, int64_t k, int32_t* positions) {
    const uint32_t key = threshold(values + begin, end - begin, k);
    int64_t ties = k - count_above(values + begin, end - begin, key), written = 0;
    for (int64_t p = begin; written < k; ++p) {
        const auto other = ordered<uint32_t>(values[p]);
        const bool takes_tie = other == key && ties > 0;
        positions[written] = static_cast<int32_t>(p);  // overwritten unless `written` advances
        written += takes_tie || other > key;
        ties -= takes_tie;
    }
}

}  // namespace

void token_values(const TokenValues& t, Context&) {
    parallel_for(t.batch, t.batch * t.sequence, [&](int64_t b) {
        const int32_t* ids = t.ids + b * t.sequence;
        float* values = t.values + b * t.sequence;
        for (int64_t p = 0; p < t.sequence; ++p) values[p] = t.table[ids[p]];
        if (t.noise) add_noise(t, b, values);
    });
}

void top_k(const TopK& k, Context&) {
    parallel_for(k.batch, k.batch * k.sequence, [&](int64_t b) {
        const float* values = k.values + b * k.sequence;
        const int64_t length = k.lengths ? k.lengths[b] : k.sequence, real = std::min(length, k.keep);
        int32_t* kept = k.kept + b * k.keep;
        select_largest(values, 0, length, real, kept);
        if (real < k.keep) select_largest(values, length, k.sequence, k.keep - real, kept + real);
        if (k.kept_lengths) k.kept_lengths[b] = static_cast<int32_t>(real);
    });
}

/// One thread: the slots of a step are few, and their order is that of the additions.
void importance_sums(const ImportanceSums& x, Context&) {
    if (!x.accumulate) {
        std::fill_n(x.sums, x.vocabulary, 0.0f);
        std::fill_n(x.counts, x.vocabulary, 0.0f);
    }
    for (int64_t i = 0; i < x.n; ++i) {
        if (!(x.weights[i] > 0)) continue;
        x.sums[x.labels[i]] += x.loss[i];
        x.counts[x.labels[i]] += 1;
    }
}

/// Computes in double: few entries are updated, and rounding errors would add up over the run.
void importance_update(const ImportanceUpdate& u, Context&) {
    if (!std::isfinite(*u.norm)) return;
    parallel_pieces(u.vocabulary, [&](int64_t begin, int64_t size) {
        for (int64_t v = begin; v < begin + size; ++v) {
            if (!(u.counts[v] > 0)) continue;  // nearly all
            const double mean = static_cast<double>(u.sums[v]) / u.counts[v];
            u.table[v] = static_cast<float>(u.beta * u.table[v] + (1 - u.beta) * mean);
        }
    });
    for (const FixedValue& fixed : u.fixed) u.table[fixed.id] = fixed.value;
}

}  // namespace dropforge::kernels::on_cpu
