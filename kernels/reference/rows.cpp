// Gathers and scatters of rows: the moves that dropped tokens and masked positions need.
#include <algorithm>
#include <vector>

#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

template <typename T>
void gather(const GatherRows& g) {
    for (int64_t i = 0; i < g.batch * g.count; ++i) {
        const int64_t row = i / g.count * g.per_sequence + g.index[i];
        const T* from = static_cast<const T*>(g.from) + row * g.columns;
        std::copy_n(from, g.columns, static_cast<T*>(g.to) + i * g.columns);
    }
}

/// The new content of row `p` of sequence `b`, from all rows that go there.
template <typename Real, typename T>
void scatter_to_row(const ScatterRows& s, int64_t b, int64_t p) {
    T* to = static_cast<T*>(s.to) + (b * s.per_sequence + p) * s.columns;
    std::vector<Real> sum(static_cast<size_t>(s.columns));
    bool hit = false;
    for (int64_t r = b * s.count; r < (b + 1) * s.count; ++r) {
        if (s.index[r] != p) continue;
        hit = true;
        const T* from = static_cast<const T*>(s.from) + r * s.columns;
        for (int64_t c = 0; c < s.columns; ++c) {
            Real& value = sum[static_cast<size_t>(c)];
            value = (s.accumulate ? value : Real{0}) + get<Real>(from[c]);
        }
    }
    const bool add = s.accumulate && !s.clear;
    for (int64_t c = 0; (hit || s.clear) && c < s.columns; ++c) assign_or_add(to[c], sum[static_cast<size_t>(c)], add);
}

}  // namespace

void gather_rows(const GatherRows& g, Context&) {
    with_float_type(g.dtype, [&](auto type) { gather<decltype(type)>(g); });
}

template <typename Real>
void scatter_rows(const ScatterRows& s, Context&) {
    with_float_type(s.dtype, [&](auto type) {
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t p = 0; p < s.per_sequence; ++p) scatter_to_row<Real, decltype(type)>(s, b, p);
    });
}

template void scatter_rows<double>(const ScatterRows&, Context&);
template void scatter_rows<float>(const ScatterRows&, Context&);

}  // namespace dropforge::kernels::loops
