// Gathers, scatters, merges and splits of rows, casts and additions: memory traffic and little else.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/functions.h"

namespace dropforge::kernels::on_cuda {

// A warp has a row: the row's index is read once, and the lanes' packs lie side by side. Blocks of 8 rows; with at most
// 32 registers a thread, 8 blocks fill a multiprocessor.
constexpr int kRowWarps = 8;
constexpr int kRowThreads = kRowWarps * kWarp;

__device__ inline int64_t row_of_warp() { return int64_t{blockIdx.x} * kRowWarps + threadIdx.x / kWarp; }
__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x % kWarp); }

inline Shape row_shape(int64_t rows, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
    return {blocks_for(rows, kRowWarps), kRowThreads, file, line};
}

/// Calls f(word type) with the widest type that rows of these bytes can be copied in: what moves bits needs no dtype.
template <typename F>
void with_word(int64_t row_bytes, std::initializer_list<const void*> pointers, F&& f) {
    if (aligned(16, row_bytes, pointers))
        f(Type<uint4>{});
    else if (aligned(4, row_bytes, pointers))
        f(Type<uint32_t>{});
    else
        f(Type<uint16_t>{});
}

template <typename Word>
__device__ inline void copy_row(Word* to, const Word* from, int64_t words) {
    for (int64_t i = lane_of_thread(); i < words; i += kWarp) to[i] = from[i];
}
template <typename Word>
__device__ inline void clear_row(Word* to, int64_t words) {
    for (int64_t i = lane_of_thread(); i < words; i += kWarp) to[i] = Word{};
}

/// The entries of a sequence's index that point to one row: for the whole warp, which looks at 32 of them at a time.
class Sources {
  public:
    __device__ Sources(const int32_t* index, int64_t count, int64_t row) : index_(index), count_(count), row_(row) {}

    /// Which of the entries first … first+31 point to the row.
    __device__ unsigned among(int64_t first) const {
        const int64_t i = first + lane_of_thread();
        return __ballot_sync(kAllLanes, i < count_ && index_[i] == row_);
    }
    /// How many there are, and the last one (-1: none).
    struct Found {
        int64_t last;
        int count;
    };
    __device__ Found find() const {
        Found found{-1, 0};
        for (int64_t first = 0; first < count_; first += kWarp) {
            const unsigned hits = among(first);
            if (hits != 0) found.last = first + 31 - __clz(static_cast<int>(hits));
            found.count += __popc(hits);
        }
        return found;
    }

  private:
    const int32_t* index_;
    int64_t count_, row_;
};

// -------------------------------------------------------------------------------------------------------------- gather
template <typename Word>
__global__ void __launch_bounds__(kRowThreads)
    gather_kernel(const Word* __restrict__ from, const int32_t* __restrict__ index, Word* __restrict__ to, int64_t rows,
                  int64_t count, int64_t per_sequence, int64_t words) {
    const int64_t row = row_of_warp();
    if (row >= rows) return;
    copy_row(to + row * words, from + (row / count * per_sequence + index[row]) * words, words);
}

void gather_rows(const GatherRows& g, Context& context) {
    const int64_t rows = g.batch * g.count, bytes = g.columns * static_cast<int64_t>(size_of(g.dtype));
    if (rows == 0) return;
    with_word(bytes, {g.from, g.to}, [&](auto type) {
        using Word = typename decltype(type)::type;
        launch(gather_kernel<Word>, context, row_shape(rows), static_cast<const Word*>(g.from), g.index,
               static_cast<Word*>(g.to), rows, g.count, g.per_sequence, bytes / static_cast<int64_t>(sizeof(Word)));
    });
}

// ------------------------------------------------------------------------------------------------------------- scatter
/// A warp has a row of the large side and looks for what belongs there: no atomics, and duplicates in order.
template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    scatter_kernel(const T* __restrict__ from, const int32_t* __restrict__ index, T* __restrict__ to, int64_t rows,
                   int64_t count, int64_t per_sequence, int64_t columns, bool accumulate, bool clear) {
    const int64_t row = row_of_warp();
    if (row >= rows) return;
    const int64_t batch = row / per_sequence;
    const Sources sources(index + batch * count, count, row - batch * per_sequence);
    const auto found = sources.find();
    using Word = Pack<T, N>;
    auto* target = reinterpret_cast<Word*>(to + row * columns);
    const T* origin = from + batch * count * columns;
    const int64_t packs = columns / N;
    if (found.count == 0) {
        if (clear) clear_row(target, packs);
        return;
    }
    if (!accumulate || (clear && found.count == 1)) {
        copy_row(target, reinterpret_cast<const Word*>(origin + found.last * columns), packs);
        return;
    }
    for (int64_t begin = 0; begin < packs; begin += kWarp) {  // all lanes vote, also those past the end
        const int64_t column = (begin + lane_of_thread()) * N;
        const bool inside = column < columns;
        float sum[N] = {};
        if (inside && !clear) load<N>(to + row * columns + column, sum);
        for (int64_t first = 0; first <= found.last; first += kWarp) {
            for (unsigned hits = sources.among(first); hits != 0; hits &= hits - 1) {
                const int64_t r = first + __ffs(static_cast<int>(hits)) - 1;
                if (!inside) continue;
                float value[N];
                load<N>(origin + r * columns + column, value);
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] += value[i];
            }
        }
        if (inside) store<N>(to + row * columns + column, sum);
    }
}

void scatter_rows(const ScatterRows& s, Context& context) {
    const int64_t rows = s.batch * s.per_sequence;
    if (rows == 0) return;
    with_device_type(s.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(s.columns, {s.from, s.to}, [&](auto pack) {
            launch(scatter_kernel<T, pack()>, context, row_shape(rows), static_cast<const T*>(s.from), s.index,
                   static_cast<T*>(s.to), rows, s.count, s.per_sequence, s.columns, s.accumulate, s.clear);
        });
    });
}

// ----------------------------------------------------------------------------------------------------- merge and split
template <typename Word>
__global__ void __launch_bounds__(kRowThreads)
    merge_kernel(const Word* __restrict__ rows, const int32_t* __restrict__ index, const Word* rest, Word* all,
                 int64_t total, int64_t count, int64_t per_sequence, int64_t words) {
    const int64_t row = row_of_warp();
    if (row >= total) return;
    const int64_t batch = row / per_sequence;
    const auto found = Sources(index + batch * count, count, row - batch * per_sequence).find();
    if (found.count > 0)
        copy_row(all + row * words, rows + (batch * count + found.last) * words, words);
    else if (all != rest)
        copy_row(all + row * words, rest + row * words, words);
}

void merge_rows(const MergeRows& m, Context& context) {
    const int64_t total = m.batch * m.per_sequence, bytes = m.columns * static_cast<int64_t>(size_of(m.dtype));
    if (total == 0) return;
    with_word(bytes, {m.rows, m.rest, m.all}, [&](auto type) {
        using Word = typename decltype(type)::type;
        launch(merge_kernel<Word>, context, row_shape(total), static_cast<const Word*>(m.rows), m.index,
               static_cast<const Word*>(m.rest), static_cast<Word*>(m.all), total, m.count, m.per_sequence,
               bytes / static_cast<int64_t>(sizeof(Word)));
    });
}

/// rest may be all: a lane has read what it writes.
template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    split_kernel(const T* all, const int32_t* __restrict__ index, T* __restrict__ rows, T* rest, int64_t total,
                 int64_t count, int64_t per_sequence, int64_t columns, bool accumulate) {
    const int64_t row = row_of_warp();
    if (row >= total) return;
    const int64_t batch = row / per_sequence, packs = columns / N;
    const auto found = Sources(index + batch * count, count, row - batch * per_sequence).find();
    using Word = Pack<T, N>;
    const auto* from = reinterpret_cast<const Word*>(all + row * columns);
    auto* to = reinterpret_cast<Word*>(rest + row * columns);
    if (found.count > 0) {
        copy_row(reinterpret_cast<Word*>(rows + (batch * count + found.last) * columns), from, packs);
        if (!accumulate) clear_row(to, packs);
    } else if (accumulate) {
        for (int64_t column = int64_t{lane_of_thread()} * N; column < columns; column += kWarp * N) {
            float sum[N], value[N];
            load<N>(rest + row * columns + column, sum);
            load<N>(all + row * columns + column, value);
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] += value[i];
            store<N>(rest + row * columns + column, sum);
        }
    } else if (all != rest) {
        copy_row(to, from, packs);
    }
}

void split_rows(const SplitRows& s, Context& context) {
    const int64_t total = s.batch * s.per_sequence;
    if (total == 0) return;
    with_device_type(s.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(s.columns, {s.all, s.rows, s.rest}, [&](auto pack) {
            launch(split_kernel<T, pack()>, context, row_shape(total), static_cast<const T*>(s.all), s.index,
                   static_cast<T*>(s.rows), static_cast<T*>(s.rest), total, s.count, s.per_sequence, s.columns,
                   s.accumulate);
        });
    });
}

// ------------------------------------------------------------------------------------------------- casts and additions
constexpr int kFlatThreads = 256;

/// Eight elements a thread: 16 bytes of the 16-bit type, twice 16 of f32.
template <typename From, typename To, int N>
__global__ void __launch_bounds__(kFlatThreads)
    cast_kernel(const From* __restrict__ from, To* __restrict__ to, int64_t n) {
    const int64_t first = (int64_t{blockIdx.x} * kFlatThreads + threadIdx.x) * N;
    if (first + N <= n) {
        float value[N];
        load<N>(from + first, value);
        store<N>(to + first, value);
    } else {
        for (int64_t i = first; i < n; ++i) to[i] = static_cast<To>(static_cast<float>(from[i]));
    }
}

void cast(const Cast& c, Context& context) {
    if (c.n == 0) return;
    with_device_type(c.from_dtype, [&](auto from_type) {
        with_device_type(c.to_dtype, [&](auto to_type) {
            using From = typename decltype(from_type)::type;
            using To = typename decltype(to_type)::type;
            with_pack<Float16>(0, {c.from, c.to}, [&](auto pack) {
                launch(cast_kernel<From, To, pack()>, context,
                       {blocks_for(c.n, int64_t{kFlatThreads} * pack()), kFlatThreads},
                       static_cast<const From*>(c.from), static_cast<To*>(c.to), c.n);
            });
        });
    });
}

template <typename T, int N>
__global__ void __launch_bounds__(kFlatThreads) add_kernel(T* to, const T* x, int64_t n) {
    const int64_t first = (int64_t{blockIdx.x} * kFlatThreads + threadIdx.x) * N;
    if (first + N <= n) {
        float sum[N], value[N];
        load<N>(to + first, sum);
        load<N>(x + first, value);
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] += value[i];
        store<N>(to + first, sum);
    } else {
        for (int64_t i = first; i < n; ++i)
            to[i] = static_cast<T>(static_cast<float>(to[i]) + static_cast<float>(x[i]));
    }
}

void add(const Add& a, Context& context) {
    if (a.n == 0) return;
    with_device_type(a.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(0, {a.to, a.x}, [&](auto pack) {
            launch(add_kernel<T, pack()>, context, {blocks_for(a.n, int64_t{kFlatThreads} * pack()), kFlatThreads},
                   static_cast<T*>(a.to), static_cast<const T*>(a.x), a.n);
        });
    });
}

}  // namespace dropforge::kernels::on_cuda
