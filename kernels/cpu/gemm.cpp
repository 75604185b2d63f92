// GEMM (BLIS: Van Zee & van de Geijn 2015): b is packed into panels of up to kTileVectors vectors of columns, which all
// threads share; a is read in place or packed by block; tiles of c are in registers. Threads divide the tiles of c,
// never k, so that an element's sum is the same for any number of threads.
#include <omp.h>

#include <algorithm>

#include "kernels/cpu/context.h"
#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/tile.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// Words of k in one pass: a panel of b (192 KiB with AVX-512) is streamed from L2, and few passes add to c.
constexpr int64_t kMaxWords = 1024;
constexpr int64_t kMaxWordsOneStore = 1536;         // if c is bf16: one pass needs no partial sums in f32
constexpr int64_t kBlockRows = 128;                 // rows of a in L2 (512 KiB)
constexpr int64_t kPackedRows = 64;                 // rows of b at a time (even), where they are contiguous in k
constexpr int64_t kPackedBytes = int64_t{4} << 20;  // bytes of b at a time, which fit L3
/// Panels for which AMX reads contiguous blocks of a: loads of rows far apart are slower, by less than a copy of few.
constexpr int64_t kWorthCopying = 24;
/// A c that spans so many bytes is written past the caches, which it would not stay in. A store that misses reads its
/// line first, and the misses of a tile's stores keep its neighbours' loads waiting.
constexpr int64_t kStreamBytes = int64_t{24} << 20;
constexpr int64_t kStreamGradient = int64_t{4} << 20;  // of weights, which nothing reads before the update

template <typename T>
class BlockedGemm {
  public:
    BlockedGemm(const Gemm& g, CpuContext& context) : g_(g), panels_(g.n), threads_(omp_get_max_threads()) {
        const bool one_store = g.out == DType::bf16 && words_of<T>(g.k) <= kMaxWordsOneStore;
        passes_ = ceil_div(words_of<T>(g.k), one_store ? kMaxWordsOneStore : kMaxWords);
        // In whole steps, so that no pass but the last ends with half a word.
        depth_ = round_up(ceil_div(g.k, passes_), std::max<int64_t>(kStep<T>, 2));
        passes_ = ceil_div(g.k, depth_);
        words_ = words_of<T>(depth_);

        chunk_ = std::clamp<int64_t>(kPackedBytes / (words_ * 4 * kLanes * kTileVectors<T>), 1, panels_.count);
        chunk_ = ceil_div(panels_.count, ceil_div(panels_.count, chunk_));
        // At least four tasks a thread, so that threads end at about the same time.
        rows_ = std::clamp<int64_t>(round_up(ceil_div(g.m, 4 * threads_), kTileRows<T>), 2 * kTileRows<T>, kBlockRows);
        row_blocks_ = ceil_div(g.m, rows_);
        group_ = std::max<int64_t>(chunk_ / std::max<int64_t>(ceil_div(4 * threads_, row_blocks_), 1), 1);

        packed_b_words_ = chunk_ * kLanes * kTileVectors<T> * words_;
        packed_b_ = static_cast<float*>(context.packed_b.reserve(static_cast<size_t>(2 * packed_b_words_) * 4));
        packed_a_ = static_cast<float*>(context.packed_a.reserve(static_cast<size_t>(threads_ * rows_ * words_) * 4));
        const int64_t row_bytes = g.ldc * size_of(g.out);
        const bool gradient = g.transpose_a && !g.accumulate;
        stream_ = g.m * row_bytes >= (gradient ? kStreamGradient : kStreamBytes) && row_bytes % 64 == 0 &&
                  reinterpret_cast<uintptr_t>(g.c) % 64 == 0;
        if (g.out == DType::bf16 && passes_ > 1)
            partial_ = static_cast<float*>(context.partial.reserve(static_cast<size_t>(g.m * g.n) * 4));
    }

    void run() {
        on_threads(true, [&] {
            const TileRegisters<T> registers;
            int64_t turn = 0;
            for (int64_t first = 0; first < panels_.count; first += chunk_)
                for (int64_t pass = 0; pass < passes_; ++pass) step(first, pass, turn++ % 2);
            if (stream_) sfence();
        });
    }

  private:
    /// c[:, a chunk of panels] (+)= a · b over one pass of k. Two packed chunks alternate, so that one barrier a step
    /// is enough: a thread that packs chunk i + 2 has passed the barrier that all threads reach after computing chunk
    /// i.
    void step(int64_t first, int64_t pass, int64_t turn) {
        const int64_t last = std::min(first + chunk_, panels_.count), k0 = pass * depth_,
                      k = std::min(depth_, g_.k - k0);
        const int64_t words = words_of<T>(k), base = panels_.begin(first);
        float* packed = packed_b_ + turn * packed_b_words_;
        // Where b's rows are contiguous in k, a few of them at a time, for all panels: memory is read sequentially.
        const int64_t piece = g_.transpose_b ? k : kPackedRows, pieces = ceil_div(k, piece), panels = last - first;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < pieces * panels; ++i) {
            const int64_t p = first + i % panels, from = i / panels * piece, width = panels_.end(p) - panels_.begin(p);
            float* panel = packed + (panels_.begin(p) - base) * words;
            pack_b(p, k0 + from, std::min(piece, k - from), panel + words_of<T>(from) * width);
        }

        const Finish f = finish_of(pass);
        const int64_t groups = ceil_div(last - first, group_);
        share_out(row_blocks_ * groups, [&](int64_t task) {
            const int64_t row = task / groups * rows_, rows = std::min(rows_, g_.m - row);
            const int64_t begin = first + task % groups * group_, end = std::min(begin + group_, last);
            block(row, rows, begin, end, k0, k, packed - base * words, f);
        });
    }

    void pack_b(int64_t p, int64_t k0, int64_t k, float* panel) const {
        const auto* b = static_cast<const T*>(g_.b);
        const int64_t column = panels_.begin(p), width = panels_.end(p) - column;
        if (g_.transpose_b)
            pack_panel_transposed(b + column * g_.ldb + k0, g_.ldb, k, g_.n - column, width, panel);
        else
            pack_panel(b + k0 * g_.ldb + column, g_.ldb, k, g_.n - column, width, panel);
    }

    Finish finish_of(int64_t pass) const {
        const bool first = pass == 0, last = pass + 1 == passes_;
        const void* sums = partial_ ? static_cast<void*>(partial_) : g_.c;
        const int64_t ld_sums = partial_ ? g_.n : g_.ldc;
        return {.to = last ? g_.c : const_cast<void*>(sums),
                .to_type = last ? g_.out : DType::f32,
                .ld_to = last ? g_.ldc : ld_sums,
                .bias = first ? g_.bias : nullptr,
                .previous = !first          ? sums
                            : g_.accumulate ? g_.c
                                            : nullptr,
                .previous_type = first ? g_.out : DType::f32,
                .ld_previous = first ? g_.ldc : ld_sums,
                .stream = last && stream_};
    }

    /// One task: rows of c by panels [begin, end).
    void block(int64_t row, int64_t rows, int64_t begin, int64_t end, int64_t k0, int64_t k, const float* packed,
               const Finish& f) const {
        const auto* a = static_cast<const T*>(g_.a);
        const T* from = g_.transpose_a ? a + k0 * g_.lda + row : a + row * g_.lda + k0;
        float* space = packed_a_ + omp_get_thread_num() * rows_ * words_;
        const bool copy = kStepWords<T> > 1 && end - begin > kWorthCopying;
        const TilesOfA tiles = tiles_of_matrix(from, g_.lda, g_.transpose_a, rows, k, space, copy);
        multiply<T>(tiles, {row, rows}, packed, PanelRange<T>{panels_, begin, end}, g_.n, words_of<T>(k), f);
    }

    const Gemm& g_;
    Panels<T> panels_;
    int64_t threads_;
    int64_t passes_, depth_, words_;  // passes over k, k of a pass, its words
    int64_t chunk_, group_;           // panels packed at a time; panels of a task
    int64_t rows_, row_blocks_;       // rows of a task
    int64_t packed_b_words_;
    float *packed_b_, *packed_a_, *partial_ = nullptr;
    bool stream_;  // c past the caches
};

}  // namespace

void gemm(const Gemm& g, Context& context) {
    if (g.bias_gradient) column_sum(column_sum_of(g), context);
    with_cpu_type(g.dtype, [&](auto type) { BlockedGemm<decltype(type)>(g, static_cast<CpuContext&>(context)).run(); });
    if (g.gelu.output) gelu_forward(gelu_after(g), context);
    if (g.gelu.input) gelu_backward(gelu_slope_after(g), context);
}

}  // namespace dropforge::kernels::on_cpu
