// Gathers, scatters, merges and splits of rows, for dropped tokens and masked positions.
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

/// The new content of row `p` of sequence `b`, from all rows whose index is p.
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

/// Calls f(b, p, r) for every row p of every sequence b, where index[b,r] = p, or r = -1; m is a MergeRows or
/// SplitRows.
template <typename Operation, typename F>
void for_rows(const Operation& m, F&& f) {
    for (int64_t b = 0; b < m.batch; ++b) {
        const int32_t *begin = m.index + b * m.count, *end = begin + m.count;
        for (int64_t p = 0; p < m.per_sequence; ++p) {
            const int32_t* found = std::find(begin, end, p);
            f(b, p, found == end ? -1 : b * m.count + (found - begin));
        }
    }
}

template <typename T>
void merge(const MergeRows& m) {
    for_rows(m, [&](int64_t b, int64_t p, int64_t r) {
        const int64_t row = b * m.per_sequence + p;
        const T* from =
            r < 0 ? static_cast<const T*>(m.rest) + row * m.columns : static_cast<const T*>(m.rows) + r * m.columns;
        for (int64_t c = 0; c < m.columns; ++c) static_cast<T*>(m.all)[row * m.columns + c] = from[c];
    });
}

template <typename Real, typename T>
void split(const SplitRows& s) {
    for_rows(s, [&](int64_t b, int64_t p, int64_t r) {
        for (int64_t c = 0; c < s.columns; ++c) {
            const int64_t i = (b * s.per_sequence + p) * s.columns + c;
            const T value = static_cast<const T*>(s.all)[i];
            if (r >= 0) static_cast<T*>(s.rows)[r * s.columns + c] = value;
            assign_or_add(static_cast<T*>(s.rest)[i], r >= 0 ? Real{0} : get<Real>(value), s.accumulate);
        }
    });
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

void merge_rows(const MergeRows& m, Context&) {
    with_float_type(m.dtype, [&](auto type) { merge<decltype(type)>(m); });
}

template <typename Real>
void split_rows(const SplitRows& s, Context&) {
    with_float_type(s.dtype, [&](auto type) { split<Real, decltype(type)>(s); });
}

template void scatter_rows<double>(const ScatterRows&, Context&);
template void scatter_rows<float>(const ScatterRows&, Context&);
template void split_rows<double>(const SplitRows&, Context&);
template void split_rows<float>(const SplitRows&, Context&);

}  // namespace dropforge::kernels::loops
