// Gathers, scatters, merges and splits of rows, casts, clearing and additions. All are bound by memory bandwidth.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// The source rows of 64 rows of one sequence from `first` on, found in one pass over the sequence's indices.
class ScatterBlock {
  public:
    static constexpr int64_t kRows = 64;

    ScatterBlock(const ScatterRows& s, int64_t batch, int64_t first)
        : s_(s), index_(s.index + batch * s.count), batch_(batch), first_(first) {
        std::fill_n(last_, kRows, -1);
        for (int64_t r = 0; r < s.count; ++r) {
            const int64_t local = index_[r] - first;
            if (local < 0 || local >= kRows) continue;
            last_[local] = r;
            ++hits_[local];
        }
    }

    template <typename T>
    void write() const {
        const int64_t rows = std::min(kRows, s_.per_sequence - first_);
        for (int64_t i = 0; i < rows; ++i) {
            T* to = static_cast<T*>(s_.to) + (batch_ * s_.per_sequence + first_ + i) * s_.columns;
            if (hits_[i] == 0) {
                if (s_.clear) std::memset(static_cast<void*>(to), 0, bytes<T>());
            } else if (s_.accumulate && (hits_[i] > 1 || !s_.clear)) {
                add(to, i);
            } else {
                std::memcpy(static_cast<void*>(to), from<T>(last_[i]), bytes<T>());
            }
        }
    }

  private:
    template <typename T>
    size_t bytes() const {
        return static_cast<size_t>(s_.columns) * sizeof(T);
    }
    template <typename T>
    const T* from(int64_t r) const {
        return static_cast<const T*>(s_.from) + (batch_ * s_.count + r) * s_.columns;
    }

    /// Sums in f32, a stretch of columns at a time, and rounds once.
    template <typename T>
    void add(T* to, int64_t i) const {
        constexpr int64_t kStretch = 512;
        float sum[kStretch];
        for (int64_t begin = 0; begin < s_.columns; begin += kStretch) {
            const int64_t size = std::min(kStretch, s_.columns - begin);
            for_columns(size, [&](int64_t j, auto count) {
                store(sum + j, s_.clear ? f32v{} : load(to + begin + j, count), count);
            });
            for (int64_t r = 0; r <= last_[i]; ++r) {
                if (index_[r] != first_ + i) continue;
                const T* x = from<T>(r) + begin;
                for_columns(size, [&](int64_t j, auto count) { add_to(sum + j, load(x + j, count), count); });
            }
            for_columns(size, [&](int64_t j, auto count) { store(to + begin + j, load(sum + j, count), count); });
        }
    }

    const ScatterRows& s_;
    const int32_t* index_;
    int64_t batch_, first_;
    int64_t last_[kRows], hits_[kRows] = {};  // of each row: the last source row, and their number
};

/// Calls f(row of all, row of the index that points to it, or -1) for every row of every sequence; m is a MergeRows or
/// SplitRows. `elements` is the size of the work.
template <typename Operation, typename F>
void for_rows(const Operation& m, int64_t elements, F&& f) {
    constexpr int64_t kRows = 64;
    const int64_t blocks = (m.per_sequence + kRows - 1) / kRows;
    parallel_for(m.batch * blocks, elements, [&](int64_t i) {
        const int64_t b = i / blocks, first = i % blocks * kRows, end = std::min(first + kRows, m.per_sequence);
        const int32_t* index = m.index + b * m.count;
        int64_t r = std::lower_bound(index, index + m.count, first) - index;  // they ascend
        for (int64_t p = first; p < end; ++p) {
            const bool hit = r < m.count && index[r] == p;
            f(b * m.per_sequence + p, hit ? b * m.count + r++ : -1);
        }
    });
}

}  // namespace

void gather_rows(const GatherRows& g, Context&) {
    const auto bytes = static_cast<size_t>(g.columns) * size_of(g.dtype);
    const auto* from = static_cast<const char*>(g.from);
    auto* to = static_cast<char*>(g.to);
    parallel_for(g.batch * g.count, g.batch * g.count * g.columns, [&](int64_t i) {
        const int64_t row = i / g.count * g.per_sequence + g.index[i];
        std::memcpy(to + static_cast<size_t>(i) * bytes, from + static_cast<size_t>(row) * bytes, bytes);
    });
}

void scatter_rows(const ScatterRows& s, Context&) {
    const int64_t blocks = (s.per_sequence + ScatterBlock::kRows - 1) / ScatterBlock::kRows;
    with_cpu_type(s.dtype, [&](auto type) {
        parallel_for(s.batch * blocks, s.batch * s.count * s.columns, [&](int64_t i) {
            ScatterBlock(s, i / blocks, i % blocks * ScatterBlock::kRows).write<decltype(type)>();
        });
    });
}

void merge_rows(const MergeRows& m, Context&) {
    const auto bytes = static_cast<size_t>(m.columns) * size_of(m.dtype);
    const auto *rows = static_cast<const char*>(m.rows), *rest = static_cast<const char*>(m.rest);
    auto* all = static_cast<char*>(m.all);
    const bool in_place = m.all == m.rest;
    const int64_t moved = m.batch * (in_place ? m.count : m.per_sequence);
    for_rows(m, moved * m.columns, [&](int64_t row, int64_t picked) {
        char* to = all + static_cast<size_t>(row) * bytes;
        if (picked >= 0)
            std::memcpy(to, rows + static_cast<size_t>(picked) * bytes, bytes);
        else if (!in_place)
            std::memcpy(to, rest + static_cast<size_t>(row) * bytes, bytes);
    });
}

void split_rows(const SplitRows& s, Context&) {
    const bool in_place = s.rest == s.all;
    const int64_t moved = s.batch * (in_place ? s.count : s.per_sequence);
    with_cpu_type(s.dtype, [&](auto type) {
        using T = decltype(type);
        for_rows(s, moved * s.columns, [&](int64_t row, int64_t picked) {
            const T* from = static_cast<const T*>(s.all) + row * s.columns;
            T* rest = static_cast<T*>(s.rest) + row * s.columns;
            if (picked >= 0) {
                std::copy_n(from, s.columns, static_cast<T*>(s.rows) + picked * s.columns);
                if (!s.accumulate) std::fill_n(rest, s.columns, T{});
            } else if (s.accumulate) {
                for_columns(s.columns, [&](int64_t j, auto count) {
                    store(rest + j, load(rest + j, count) + load(from + j, count), count);
                });
            } else if (!in_place) {
                std::copy_n(from, s.columns, rest);
            }
        });
    });
}

void cast(const Cast& c, Context&) {
    with_cpu_type(c.from_dtype, [&](auto from_type) {
        with_cpu_type(c.to_dtype, [&](auto to_type) {
            const auto* from = static_cast<const decltype(from_type)*>(c.from);
            auto* to = static_cast<decltype(to_type)*>(c.to);
            parallel_pieces(c.n, [&](int64_t begin, int64_t size) {
                for_columns(size, [&](int64_t j, auto count) {
                    store_exactly(to + begin + j, load(from + begin + j, count), count);
                });
            });
        });
    });
}

void clear(const Clear& c, Context&) {
    parallel_pieces(c.bytes, [&](int64_t begin, int64_t size) {
        std::memset(static_cast<char*>(c.to) + begin, 0, static_cast<size_t>(size));
    });
}

void add(const Add& a, Context&) {
    with_cpu_type(a.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_pieces(a.n, [&](int64_t begin, int64_t size) {
            T* to = static_cast<T*>(a.to) + begin;
            const T* x = static_cast<const T*>(a.x) + begin;
            for_columns(size,
                        [&](int64_t j, auto count) { store(to + j, load(to + j, count) + load(x + j, count), count); });
        });
    });
}

}  // namespace dropforge::kernels::on_cpu
