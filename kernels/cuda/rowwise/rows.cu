// Gathers, scatters, merges and splits of rows, casts and additions. All are bound by memory bandwidth.
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

// A warp has a row: the row's index is read once, and the lanes' packs lie side by side. Blocks of 8 rows of one
// sequence (blockIdx.y): no division. With 32 registers a thread, 8 blocks fill an SM.
constexpr int kRowWarps = 8;
constexpr int kRowThreads = kRowWarps * kWarp;

/// The row of this warp within its sequence.
__device__ inline int row_of_warp() { return static_cast<int>(blockIdx.x * kRowWarps + threadIdx.x / kWarp); }
__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x % kWarp); }
/// Row `row` of this block's sequence, of those that have `per_sequence` rows, in elements or words of `width` a row.
__device__ inline int64_t offset_of(int per_sequence, int row, int width) {
    return (int64_t{blockIdx.y} * per_sequence + row) * width;
}

inline LaunchShape row_shape(int64_t batch, int64_t rows, const char* file = __builtin_FILE(),
                             unsigned line = __builtin_LINE()) {
    constexpr int64_t kLimit = 65535;  // of a grid's y extent
    if (batch > kLimit) refuse_size("sequences", batch, kLimit);
    return {dim3(blocks_for(rows, kRowWarps), static_cast<unsigned>(batch)), kRowThreads, file, line};
}

/// Calls f(word type) with the widest type in which rows of this size can be copied. Copies need no dtype.
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
__device__ inline void copy_row(Word* to, const Word* from, int words) {
    for (int i = lane_of_thread(); i < words; i += kWarp) to[i] = from[i];
}
template <typename Word>
__device__ inline void clear_row(Word* to, int words) {
    for (int i = lane_of_thread(); i < words; i += kWarp) to[i] = Word{};
}

/// The entries of this sequence's index that point to one row. All lanes of a warp call it; it reads 32 entries at a
/// time.
class Sources {
  public:
    __device__ Sources(const int32_t* index, int count, int row)
        : index_(index + int64_t{blockIdx.y} * count), count_(count), row_(row) {}

    /// Which of the entries first … first+31 point to the row.
    __device__ unsigned among(int first) const {
        const int i = first + lane_of_thread();
        return __ballot_sync(kAllLanes, i < count_ && index_[i] == row_);
    }
    /// Their number, and the last of them (-1: none).
    struct Found {
        int last, count;
    };
    __device__ Found find() const {
        Found found{-1, 0};
        for (int first = 0; first < count_; first += kWarp) {
            const unsigned hits = among(first);
            if (hits != 0) found.last = first + 31 - __clz(static_cast<int>(hits));
            found.count += __popc(hits);
        }
        return found;
    }

  private:
    const int32_t* index_;
    int count_, row_;
};

// -------------------------------------------------------------------------------------------------------------- gather
template <typename Word>
__global__ void __launch_bounds__(kRowThreads)
    gather_kernel(const Word* __restrict__ from, const int32_t* __restrict__ index, Word* __restrict__ to, int count,
                  int per_sequence, int words) {
    const int row = row_of_warp();
    if (row >= count) return;
    const int source = index[int64_t{blockIdx.y} * count + row];
    copy_row(to + offset_of(count, row, words), from + offset_of(per_sequence, source, words), words);
}

void gather_rows(const GatherRows& g, Context& context) {
    if (g.batch * g.count == 0) return;
    const int64_t bytes = g.columns * static_cast<int64_t>(size_of(g.dtype));
    with_word(bytes, {g.from, g.to}, [&](auto type) {
        using Word = typename decltype(type)::type;
        launch(gather_kernel<Word>, context, row_shape(g.batch, g.count), static_cast<const Word*>(g.from), g.index,
               static_cast<Word*>(g.to), g.count, g.per_sequence, bytes / static_cast<int64_t>(sizeof(Word)));
    });
}

// ------------------------------------------------------------------------------------------------------------- scatter
/// A warp has a row of the output and searches the index for it: no atomics, and duplicates are added in order.
template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    scatter_kernel(const T* __restrict__ from, const int32_t* __restrict__ index, T* __restrict__ to, int count,
                   int per_sequence, int columns, bool accumulate, bool clear) {
    using Word = Pack<T, N>;
    const int row = row_of_warp();
    if (row >= per_sequence) return;
    const Sources sources(index, count, row);
    const auto found = sources.find();
    to += offset_of(per_sequence, row, columns);
    if (found.count == 0) {
        if (clear) clear_row(reinterpret_cast<Word*>(to), columns / N);
        return;
    }
    if (!accumulate || (clear && found.count == 1)) {
        const T* source = from + offset_of(count, found.last, columns);
        copy_row(reinterpret_cast<Word*>(to), reinterpret_cast<const Word*>(source), columns / N);
        return;
    }
    for (int begin = 0; begin < columns; begin += kWarp * N) {  // all lanes vote, also those past the end
        const int column = begin + lane_of_thread() * N;
        const bool inside = column < columns;
        float sum[N] = {};
        if (inside && !clear) load<N>(to + column, sum);
        for (int first = 0; first <= found.last; first += kWarp) {
            for (unsigned hits = sources.among(first); hits != 0; hits &= hits - 1) {
                const int r = first + __ffs(static_cast<int>(hits)) - 1;
                if (!inside) continue;
                float value[N];
                load<N>(from + offset_of(count, r, columns) + column, value);
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] += value[i];
            }
        }
        if (inside) store<N>(to + column, sum);
    }
}

void scatter_rows(const ScatterRows& s, Context& context) {
    if (s.batch * s.per_sequence == 0) return;
    with_device_type(s.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(s.columns, {s.from, s.to}, [&](auto pack) {
            launch(scatter_kernel<T, pack()>, context, row_shape(s.batch, s.per_sequence),
                   static_cast<const T*>(s.from), s.index, static_cast<T*>(s.to), s.count, s.per_sequence, s.columns,
                   s.accumulate, s.clear);
        });
    });
}

// ----------------------------------------------------------------------------------------------------- merge and split
template <typename Word>
__global__ void __launch_bounds__(kRowThreads)
    merge_kernel(const Word* __restrict__ rows, const int32_t* __restrict__ index, const Word* rest, Word* all,
                 int count, int per_sequence, int words) {
    const int row = row_of_warp();
    if (row >= per_sequence) return;
    const int source = Sources(index, count, row).find().last;
    const int64_t at = offset_of(per_sequence, row, words);
    if (source >= 0)
        copy_row(all + at, rows + offset_of(count, source, words), words);
    else if (all != rest)
        copy_row(all + at, rest + at, words);
}

void merge_rows(const MergeRows& m, Context& context) {
    if (m.batch * m.per_sequence == 0) return;
    const int64_t bytes = m.columns * static_cast<int64_t>(size_of(m.dtype));
    with_word(bytes, {m.rows, m.rest, m.all}, [&](auto type) {
        using Word = typename decltype(type)::type;
        launch(merge_kernel<Word>, context, row_shape(m.batch, m.per_sequence), static_cast<const Word*>(m.rows),
               m.index, static_cast<const Word*>(m.rest), static_cast<Word*>(m.all), m.count, m.per_sequence,
               bytes / static_cast<int64_t>(sizeof(Word)));
    });
}

/// rest may be all: a lane reads an element before it writes it.
template <typename T, int N>
__global__ void __launch_bounds__(kRowThreads)
    split_kernel(const T* all, const int32_t* __restrict__ index, T* __restrict__ rows, T* rest, int count,
                 int per_sequence, int columns, bool accumulate) {
    using Word = Pack<T, N>;
    const int row = row_of_warp();
    if (row >= per_sequence) return;
    const int picked = Sources(index, count, row).find().last;
    all += offset_of(per_sequence, row, columns);
    rest += offset_of(per_sequence, row, columns);
    const auto* from = reinterpret_cast<const Word*>(all);
    if (picked >= 0) {
        copy_row(reinterpret_cast<Word*>(rows + offset_of(count, picked, columns)), from, columns / N);
        if (!accumulate) clear_row(reinterpret_cast<Word*>(rest), columns / N);
    } else if (accumulate) {
        for (int column = lane_of_thread() * N; column < columns; column += kWarp * N) {
            float sum[N], value[N];
            load<N>(rest + column, sum);
            load<N>(all + column, value);
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] += value[i];
            store<N>(rest + column, sum);
        }
    } else if (all != rest) {
        copy_row(reinterpret_cast<Word*>(rest), from, columns / N);
    }
}

void split_rows(const SplitRows& s, Context& context) {
    if (s.batch * s.per_sequence == 0) return;
    with_device_type(s.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(s.columns, {s.all, s.rows, s.rest}, [&](auto pack) {
            launch(split_kernel<T, pack()>, context, row_shape(s.batch, s.per_sequence), static_cast<const T*>(s.all),
                   s.index, static_cast<T*>(s.rows), static_cast<T*>(s.rest), s.count, s.per_sequence, s.columns,
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
            with_pack<__nv_bfloat16>(0, {c.from, c.to}, [&](auto pack) {
                launch(cast_kernel<From, To, pack()>, context,
                       {blocks_for(c.n, int64_t{kFlatThreads} * pack()), kFlatThreads},
                       static_cast<const From*>(c.from), static_cast<To*>(c.to), c.n);
            });
        });
    });
}

void clear(const Clear& c, Context& context) {
    check(cudaMemsetAsync(c.to, 0, static_cast<size_t>(c.bytes), static_cast<CudaContext&>(context).stream()),
          "clear memory");
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
