#include "kernels/cuda/rowwise/embedding_tables.cuh"

#include <algorithm>

#include "kernels/blocks.h"
#include "kernels/cuda/rowwise/column_sums.cuh"

namespace dropforge::kernels::on_cuda {

constexpr int kRowsUnderWay = 8;  // outstanding reads of a thread

// ------------------------------------------------------------------------------------------------- positions and types
struct PositionArguments {
    const float* dsum;     // [rows, columns]
    const int32_t* types;  // [rows] or nullptr
    float* dposition;      // [positions, columns]
    float* partials;       // [blocks, 2, columns]
    int64_t sequence, columns, rest;
    int sequences, first_type;  // complete sequences; another of `rest` rows may follow
    bool accumulate;
};

/// Gradients of positions and types. A warp has 32 packs of a range of positions and adds each up over the sequences,
/// and also the block's share of the sums of types first_type and first_type + 1. For 128 positions only 768 warps have
/// work (h = 768); with eight outstanding reads in each thread, that is 23 KiB in flight on an SM of an H100.
template <int N>
__global__ void __launch_bounds__(kWarp* kSumWarps, 3) position_kernel(PositionArguments a) {
    const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N;
    const RowRange range(a.sequence);
    float of_type[2][N] = {};
    if (column < a.columns) {
        for (int64_t position = range.first; position < range.last; ++position) {
            float sum[N] = {};
            struct Row {
                float value[N];
                int type;
            };
            read_ahead<Row, kRowsUnderWay>(
                a.sequences + (position < a.rest ? 1 : 0),
                [&](int b, Row& row) {
                    const int64_t at = position + b * a.sequence;
                    row.type = a.types ? a.types[at] : 0;
                    load<N>(a.dsum + at * a.columns + column, row.value);
                },
                [&](const Row& row) {
#pragma unroll
                    for (int i = 0; i < N; ++i) {
                        sum[i] += row.value[i];
                        of_type[0][i] += row.type == a.first_type ? row.value[i] : 0.0f;
                        of_type[1][i] += row.type == a.first_type + 1 ? row.value[i] : 0.0f;
                    }
                });
            if (a.first_type > 0) continue;  // the positions have been summed
            float* to = a.dposition + position * a.columns + column;
            float before[N] = {};
            if (a.accumulate) load<N>(to, before);
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] += before[i];
            store<N>(to, sum);
        }
    }
    float* partials = a.partials + int64_t{blockIdx.y} * 2 * a.columns;
    add_warps<N>(of_type[0], column, a.columns, partials);
    __syncthreads();
    add_warps<N>(of_type[1], column, a.columns, partials + a.columns);
}

constexpr int kClearThreads = 256;

template <int N>
__global__ void __launch_bounds__(kClearThreads) clear_kernel(float* to, int64_t n) {
    const int64_t first = (int64_t{blockIdx.x} * kClearThreads + threadIdx.x) * N;
    const float zero[N] = {};
    if (first < n) store<N>(to + first, zero);
}

void add_to_positions_and_types(const EmbeddingBackward& e, const EmbeddingScratch& scratch, Context& context) {
    const int64_t blocks = std::min((e.sequence + kSumWarps - 1) / kSumWarps, device_row_blocks(e.rows));
    with_pack<float>(e.columns, {scratch.dsum, scratch.partials, e.dposition}, [&](auto pack) {
        for (int64_t type = 0; type < e.type_count; type += 2) {
            launch(position_kernel<pack()>, context, sum_shape(e.columns, blocks, pack()),
                   PositionArguments{scratch.dsum, e.types, e.dposition, scratch.partials, e.sequence, e.columns,
                                     e.rows % e.sequence, static_cast<int>(e.rows / e.sequence), static_cast<int>(type),
                                     e.accumulate});
            float* to = e.dtype_table + type * e.columns;
            add_partials(scratch.partials, blocks, e.columns,
                         {{to, type + 1 < e.type_count ? to + e.columns : nullptr}, 2}, e.accumulate, context);
        }
        const int64_t rest = (e.positions - e.sequence) * e.columns;
        if (rest > 0 && !e.accumulate)
            launch(clear_kernel<pack()>, context, {blocks_for(rest, int64_t{kClearThreads} * pack()), kClearThreads},
                   e.dposition + e.sequence * e.columns, rest);
    });
}

// --------------------------------------------------------------------------------------------------------------- words
// Rows sorted by id are runs of equal ids. They are divided into chunks of equal size, regardless of the runs: a word's
// gradient is summed in order inside a chunk and then over chunks, so that a word of a tenth of the rows ([MASK]) is
// not one thread's work.
constexpr int kChunk = kWarp;
constexpr int kRunThreads = 256;  // at most; a thread has a pack of columns

/// Adds up the runs of a chunk (blockIdx.x): into dword if the run lies inside the chunk, else into the first of its
/// rows in dsum.
template <int N>
__global__ void __launch_bounds__(kRunThreads, 3)
    sum_runs_kernel(const IdRow* __restrict__ sorted, float* dsum, float* dword, int rows, int64_t columns) {
    DROPFORGE_SHARED(IdRow, entries, [kChunk + 2]);  // with the neighbours on both sides
    const int begin = static_cast<int>(blockIdx.x) * kChunk, count = rows - begin < kChunk ? rows - begin : kChunk;
    for (int i = static_cast<int>(threadIdx.x); i < kChunk + 2; i += static_cast<int>(blockDim.x)) {
        const int at = begin + i - 1;
        entries[i] = at >= 0 && at < rows ? sorted[at] : IdRow{-1, 0};
    }
    __syncthreads();
    const int64_t column = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * N;
    if (column >= columns) return;
    dsum += column;
    dword += column;
    float sum[N] = {};
    bool has_begin = false;
    int first = 1;  // of the run
    for (int base = 1; base <= count; base += kRowsUnderWay) {
        float value[kRowsUnderWay][N];
#pragma unroll
        for (int r = 0; r < kRowsUnderWay; ++r)
            if (base + r <= count) load<N>(dsum + entries[base + r].row * columns, value[r]);
#pragma unroll
        for (int r = 0; r < kRowsUnderWay; ++r) {
            const int at = base + r;
            if (at > count) break;
            const int id = entries[at].id;
            const bool begins = entries[at - 1].id != id, ends = entries[at + 1].id != id;
            if (begins || at == 1) {
                first = at;
                has_begin = begins;
            }
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] = first == at ? value[r][i] : sum[i] + value[r][i];
            if (ends && has_begin) {
                float word[N];
                load<N>(dword + id * columns, word);
#pragma unroll
                for (int i = 0; i < N; ++i) word[i] += sum[i];
                store<N>(dword + id * columns, word);
            } else if (ends || at == count) {
                store<N>(dsum + entries[first].row * columns, sum);
            }
        }
    }
}

/// Adds up the chunks' sums of the run that begins in chunk blockIdx.x and continues after it, if there is one.
template <int N>
__global__ void __launch_bounds__(kRunThreads, 4)
    join_runs_kernel(const IdRow* __restrict__ sorted, const float* __restrict__ dsum, float* dword, int rows,
                     int64_t columns) {
    const int begin = static_cast<int>(blockIdx.x) * kChunk, next = begin + kChunk;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    if (next >= rows) return;  // the last chunk
    const int id = sorted[next].id;
    const unsigned same = __ballot_sync(kAllLanes, sorted[begin + lane].id == id);
    if (same == 0 || ((same & 1) != 0 && begin > 0 && sorted[begin - 1].id == id)) return;  // all threads of the block
    int chunks = 0;  // that continue the run after this one
    for (unsigned found = kAllLanes; found == kAllLanes;) {
        const int64_t at = next + (int64_t{chunks} + lane) * kChunk;
        found = __ballot_sync(kAllLanes, at < rows && sorted[at < rows ? at : 0].id == id);
        chunks += __popc(found);
    }
    const int64_t column = (int64_t{blockIdx.y} * blockDim.x + threadIdx.x) * N;
    if (column >= columns) return;
    float sum[N], word[N];
    load<N>(dsum + sorted[begin + __ffs(static_cast<int>(same)) - 1].row * columns + column, sum);
    read_ahead<float[N], kRowsUnderWay>(
        chunks,
        [&](int c, float(&value)[N]) { load<N>(dsum + sorted[next + c * kChunk].row * columns + column, value); },
        [&](const float(&value)[N]) {
#pragma unroll
            for (int i = 0; i < N; ++i) sum[i] += value[i];
        });
    load<N>(dword + id * columns + column, word);
#pragma unroll
    for (int i = 0; i < N; ++i) word[i] += sum[i];
    store<N>(dword + id * columns + column, word);
}

void add_to_words(const EmbeddingBackward& e, const EmbeddingScratch& scratch, Context& context) {
    sort_rows(e.ids, e.rows, scratch.sorted, scratch.other, context);
    with_pack<float>(e.columns, {scratch.dsum, e.dword}, [&](auto pack) {
        const int64_t packs = e.columns / pack();
        const int64_t threads = std::min<int64_t>((packs + kWarp - 1) / kWarp * kWarp, kRunThreads);
        const LaunchShape shape(dim3(blocks_for(e.rows, kChunk), blocks_for(packs, threads)),
                                static_cast<unsigned>(threads));
        launch(sum_runs_kernel<pack()>, context, shape, scratch.sorted, scratch.dsum, e.dword, e.rows, e.columns);
        launch(join_runs_kernel<pack()>, context, shape, scratch.sorted, scratch.dsum, e.dword, e.rows, e.columns);
    });
}

}  // namespace dropforge::kernels::on_cuda
