// Our GEMM (BLIS: Van Zee & van de Geijn 2015): b packed into panels of up to 48 columns that all threads share, a read
// in place or packed per block, 8 x 48 tiles of c in registers. Threads share out tiles of c, never k: an element's sum
// is the same for any number of threads.
#include <omp.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/pack.h"

namespace dropforge::kernels::on_cpu {

#ifdef DROPFORGE_MICROKERNEL

namespace {

constexpr int64_t kMaxWords = 512;           // of k in one pass: a panel of b is at most 96 KiB, streamed from L2
constexpr int64_t kMaxWordsOneStore = 1536;  // where c is bf16: one pass spares the f32 partial sums
constexpr int64_t kBlockRows = 128;          // rows of a in L2 (256 KiB at kMaxWords)
constexpr int64_t kPackedBytes = int64_t{4} << 20;  // of b at a time: stays in L3

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Columns cut into panels of 3 vectors; 4 left over become 2 + 2, as a panel of 1 would keep half of the FMA units
/// waiting for loads.
struct Panels {
    int64_t vectors, count;

    explicit Panels(int64_t columns) : vectors(ceil_div(columns, kVector)), count(ceil_div(vectors, kTileVectors)) {}
    int64_t begin(int64_t p) const {
        return kVector * std::max<int64_t>(std::min(kTileVectors * p, vectors - 2 * (count - p)), 0);
    }
    int64_t end(int64_t p) const { return p + 1 == count ? kVector * vectors : begin(p + 1); }
};

/// What happens to a tile of sums on its way to c.
struct Finish {
    const float* bias;     // added; nullptr: not in this pass
    const void* previous;  // added; nullptr: none
    DType previous_type;
    int64_t ld_previous;
    void* to;
    DType to_type;
    int64_t ld_to;
};

template <typename T, int N>
[[gnu::always_inline]] inline void finish(Tile<T, N>& tile, const Finish& f, int64_t row, int64_t column, int64_t rows,
                                          int64_t columns) {
    __mmask16 mask[N];
#pragma GCC unroll 3
    for (int j = 0; j < N; ++j) mask[j] = first_lanes(columns - kVector * j);
    if (f.bias) {
#pragma GCC unroll 3
        for (int j = 0; j < N; ++j) {
            const __m512 bias = load(f.bias + column + kVector * j, mask[j]);
#pragma GCC unroll 8
            for (auto& c : tile.c) c[j] = _mm512_add_ps(c[j], bias);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
        if (i >= rows) break;
        const int64_t from = (row + i) * f.ld_previous + column, to = (row + i) * f.ld_to + column;
#pragma GCC unroll 3
        for (int j = 0; j < N; ++j) {
            __m512 v = tile.c[i][j];
            if (f.previous)
                v = _mm512_add_ps(v, f.previous_type == DType::f32
                                         ? load(static_cast<const float*>(f.previous) + from + kVector * j, mask[j])
                                         : load(static_cast<const bf16*>(f.previous) + from + kVector * j, mask[j]));
            f.to_type == DType::f32 ? store(static_cast<float*>(f.to) + to + kVector * j, v, mask[j])
                                    : store(static_cast<bf16*>(f.to) + to + kVector * j, v, mask[j]);
        }
    }
}

template <typename T, int N, TileA layout>
[[gnu::noinline]] void tile(int64_t words, const void* a, int64_t stride, const float* b, const Finish& f, int64_t row,
                            int64_t column, int64_t rows, int64_t columns) {
    Tile<T, N> t;
    t.template multiply<layout>(words, a, stride, b);
    finish(t, f, row, column, rows, columns);
}

template <typename T, TileA layout>
void tile(int64_t vectors, int64_t words, const void* a, int64_t stride, const float* b, const Finish& f, int64_t row,
          int64_t column, int64_t rows, int64_t columns) {
    const auto run = vectors == 3 ? tile<T, 3, layout> : vectors == 2 ? tile<T, 2, layout> : tile<T, 1, layout>;
    run(words, a, stride, b, f, row, column, rows, columns);
}

template <typename T>
class BlockedGemm {
  public:
    BlockedGemm(const Gemm& g, CpuContext& context) : g_(g), panels_(g.n), threads_(omp_get_max_threads()) {
        const bool one_store = g.out == DType::bf16 && words_of<T>(g.k) <= kMaxWordsOneStore;
        passes_ = ceil_div(words_of<T>(g.k), one_store ? kMaxWordsOneStore : kMaxWords);
        // Even in k, so that every pass but the last consists of whole words.
        depth_ = ceil_div(ceil_div(g.k, passes_), 2) * 2;
        passes_ = ceil_div(g.k, depth_);
        words_ = words_of<T>(depth_);

        chunk_ = std::clamp<int64_t>(kPackedBytes / (words_ * 4 * kVector * kTileVectors), 1, panels_.count);
        chunk_ = ceil_div(panels_.count, ceil_div(panels_.count, chunk_));
        // At least four tasks a thread, or the last one is waited for.
        rows_ = std::clamp<int64_t>(ceil_div(ceil_div(g.m, 4 * threads_), kTileRows) * kTileRows, 2 * kTileRows,
                                    kBlockRows);
        row_blocks_ = ceil_div(g.m, rows_);
        group_ = std::max<int64_t>(chunk_ / std::max<int64_t>(ceil_div(4 * threads_, row_blocks_), 1), 1);

        packed_b_words_ = chunk_ * kVector * kTileVectors * words_;
        packed_b_ = static_cast<float*>(context.packed_b.reserve(static_cast<size_t>(2 * packed_b_words_) * 4));
        packed_a_ = static_cast<float*>(context.packed_a.reserve(static_cast<size_t>(threads_ * rows_ * words_) * 4));
        if (g.out == DType::bf16 && passes_ > 1)
            partial_ = static_cast<float*>(context.partial.reserve(static_cast<size_t>(g.m * g.n) * 4));
    }

    void run() {
#pragma omp parallel num_threads(static_cast <int>(threads_))
        {
            int64_t turn = 0;
            for (int64_t first = 0; first < panels_.count; first += chunk_)
                for (int64_t pass = 0; pass < passes_; ++pass) step(first, pass, turn++ % 2);
        }
    }

  private:
    /// c[:, a chunk of panels] (+)= a · b over one pass of k. Two packed chunks take turns, so one barrier a step is
    /// enough: whoever packs chunk i + 2 has passed the barrier that all threads reach after computing on chunk i.
    void step(int64_t first, int64_t pass, int64_t turn) {
        const int64_t last = std::min(first + chunk_, panels_.count), k0 = pass * depth_,
                      k = std::min(depth_, g_.k - k0);
        const int64_t words = words_of<T>(k), base = panels_.begin(first);
        float* packed = packed_b_ + turn * packed_b_words_;
#pragma omp for schedule(static)
        for (int64_t p = first; p < last; ++p) pack_b(p, k0, k, packed + (panels_.begin(p) - base) * words);

        const Finish f = finish_of(pass);
        const int64_t groups = ceil_div(last - first, group_);
#pragma omp for schedule(dynamic) nowait
        for (int64_t task = 0; task < row_blocks_ * groups; ++task) {
            const int64_t row = task / groups * rows_, rows = std::min(rows_, g_.m - row);
            const int64_t begin = first + task % groups * group_, end = std::min(begin + group_, last);
            block(row, rows, begin, end, k0, k, packed - base * words, f);
        }
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
        return {.bias = first ? g_.bias : nullptr,
                .previous = !first          ? sums
                            : g_.accumulate ? g_.c
                                            : nullptr,
                .previous_type = first ? g_.out : DType::f32,
                .ld_previous = first ? g_.ldc : ld_sums,
                .to = last ? g_.c : const_cast<void*>(sums),
                .to_type = last ? g_.out : DType::f32,
                .ld_to = last ? g_.ldc : ld_sums};
    }

    /// One task: rows of c by panels [begin, end). Rows of a are read in place if words of k are neighbours there, else
    /// packed once.
    void block(int64_t row, int64_t rows, int64_t begin, int64_t end, int64_t k0, int64_t k, const float* packed,
               const Finish& f) const {
        const auto* a = static_cast<const T*>(g_.a);
        const int64_t words = words_of<T>(k);
        float* packed_a = packed_a_ + omp_get_thread_num() * rows_ * words_;
        const bool in_place = !g_.transpose_a && k % kPerWord<T> == 0;
        const int64_t whole =
            in_place ? rows / kTileRows * kTileRows : 0;  // the last, partial tile is packed in any case
        const T* from = g_.transpose_a ? a + k0 * g_.lda + row : a + row * g_.lda + k0;
        if (whole < rows)
            pack_tiles(from + whole * (g_.transpose_a ? 1 : g_.lda), g_.lda, g_.transpose_a, rows - whole, k,
                       packed_a + whole * words);
        const auto stride = g_.lda * static_cast<int64_t>(sizeof(T));
        for (int64_t p = begin; p < end; ++p) {
            const int64_t column = panels_.begin(p), vectors = (panels_.end(p) - column) / kVector;
            const float* b = packed + column * words;
            for (int64_t i = 0; i < rows; i += kTileRows) {
                if (i < whole)
                    tile<T, TileA::rows>(vectors, words, from + i * g_.lda, stride, b, f, row + i, column, kTileRows,
                                         g_.n - column);
                else
                    tile<T, TileA::columns>(vectors, words, packed_a + i * words, kTileRows * 4, b, f, row + i, column,
                                            std::min<int64_t>(rows - i, kTileRows), g_.n - column);
            }
        }
    }

    const Gemm& g_;
    Panels panels_;
    int64_t threads_;
    int64_t passes_, depth_, words_;  // passes over k, k of a pass, its words
    int64_t chunk_, group_;           // panels packed at a time; panels of a task
    int64_t rows_, row_blocks_;       // rows of a task
    int64_t packed_b_words_;
    float *packed_b_, *packed_a_, *partial_ = nullptr;
};

}  // namespace

bool gemm_blocked_supports(DType dtype) {
#ifdef __AVX512BF16__
    return dtype == DType::f32 || dtype == DType::bf16;
#else
    return dtype == DType::f32;
#endif
}

void gemm_blocked(const Gemm& g, CpuContext& context) {
    if (g.dtype == DType::f32) {
        BlockedGemm<float>(g, context).run();
        return;
    }
#ifdef __AVX512BF16__
    BlockedGemm<bf16>(g, context).run();
#endif
}

#else

bool gemm_blocked_supports(DType) { return false; }
void gemm_blocked(const Gemm&, CpuContext&) { throw Error("the blocked GEMM needs a build for AVX-512"); }

#endif

}  // namespace dropforge::kernels::on_cpu
