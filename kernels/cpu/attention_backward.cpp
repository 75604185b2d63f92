// Attention backward (Dao et al. 2022, "FlashAttention", appendix B.2). A task is a head of a sequence; blocks of its
// queries, in order, compute their dq and add to dk and dv. Probabilities are recomputed from the saved log-sum-exp.
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/parallel.h"
#include "kernels/scratch.h"

namespace dropforge::kernels::on_cpu {

namespace {

constexpr int64_t kTileColumns = kLanes * kTileVectors;

/// Probabilities after dropout, or score gradients, of a block of queries, in the layouts of the multiplications.
template <typename T>
struct BlockMatrix {
    float* by_query;   // words along queries [words of queries][keys]: a is its transpose
    Operand<T>* rows;  // [queries, keys]; the same memory where a word is one element
};

template <typename T>
class BackwardThread {
  public:
    BackwardThread(const AttentionBackward& a, void* scratch)
        : a_(a),
          dropout_(a.dropout, a.heads * a.rows_q),
          width_(round_up(a.rows_kv, kLanes)),
          block_(backward_queries(a.rows_q, a.rows_kv)) {
        const int64_t depth = round_up(a.head_size, kLanes);
        Scratch space(scratch);
        for (float** panels : {&keys_by_column_, &values_by_column_, &keys_, &dk_, &dv_})
            *panels = space.take<float>(width_ * depth);
        for (float** panels : {&queries_, &douts_, &query_tiles_, &dout_tiles_})
            *panels = space.take<float>(block_ * depth);
        probabilities_.by_query = space.take<float>(block_ / kPerWord<T> * width_);
        gradients_.by_query = space.take<float>(block_ / kPerWord<T> * width_);
        if constexpr (kPerWord<T> == 1)
            gradients_.rows = gradients_.by_query;
        else
            gradients_.rows = space.take<T>(block_ * width_);
        bits_ = space.take<uint64_t>(block_ * mask_words(a.rows_kv));
        lse_ = space.take<float>(block_);
        delta_ = space.take<float>(block_);
    }

    void run(const Head& head) {
        const T* k = static_cast<const T*>(a_.k) + head.kv;
        const T* v = static_cast<const T*>(a_.v) + head.kv;
        pack_panels(k, a_.stride_kv, true, a_.head_size, head.keys, keys_by_column_);
        pack_panels(v, a_.stride_kv, true, a_.head_size, head.keys, values_by_column_);
        pack_panels(k, a_.stride_kv, false, head.keys, a_.head_size, keys_);
        for (int64_t i = 0; i < a_.rows_q; i += block_) block(head, i, std::min(block_, a_.rows_q - i));
        for (void* gradient : {a_.dk, a_.dv})
            for (int64_t j = head.keys; j < a_.rows_kv; ++j)
                std::fill_n(static_cast<T*>(gradient) + head.kv + j * a_.stride_kv, a_.head_size, T{});
    }

  private:
    void block(const Head& head, int64_t first, int64_t rows) {
        const T* q = static_cast<const T*>(a_.q) + head.q + first * a_.stride_q;
        const T* out = static_cast<const T*>(a_.out) + head.out + first * a_.stride_out;
        const T* dout = static_cast<const T*>(a_.dout) + head.out + first * a_.stride_out;
        for (int64_t i = 0; i < rows; ++i) {
            if (dropout_on_) dropout_.fill(head.row + first + i, head.keys, bits_ + i * mask_words(a_.rows_kv));
            lse_[i] = a_.lse[head.row + first + i];
        }
        for (int64_t i = rows; i < round_up(rows, kTileRows); ++i)  // rows beyond the last query: probability 0
            lse_[i] = std::numeric_limits<float>::infinity();

        const TilesOfA douts = tiles_of_matrix(dout, a_.stride_out, false, rows, a_.head_size, dout_tiles_);
        set_deltas(out, rows, douts);
        score_gradients(head, rows, tiles_of_matrix(q, a_.stride_q, false, rows, a_.head_size, query_tiles_), douts);

        pack_panels(q, a_.stride_q, false, rows, a_.head_size, queries_);
        pack_panels(dout, a_.stride_out, false, rows, a_.head_size, douts_);
        add_to_keys(head, first, rows, probabilities_.by_query, douts_, dv_, static_cast<T*>(a_.dv) + head.kv);
        add_to_keys(head, first, rows, gradients_.by_query, queries_, dk_, static_cast<T*>(a_.dk) + head.kv);
        const Panels columns(a_.head_size);
        const auto stride = width_ * static_cast<int64_t>(sizeof(Operand<T>));
        const TilesOfA ds{TileA::rows,
                          reinterpret_cast<const char*>(gradients_.rows),
                          kTileRows * stride,
                          stride,
                          ceil_div(rows, kTileRows),
                          nullptr};
        multiply<T>(
            ds, {0, rows}, keys_, {columns, 0, columns.count}, a_.head_size, words_of<T>(head.keys),
            {.to = static_cast<T*>(a_.dq) + head.q + first * a_.stride_q, .to_type = a_.dtype, .ld_to = a_.stride_q});
    }

    /// delta = dout · out of each row, summed as dp = dout · vᵀ is, so that they cancel exactly where a query has one
    /// key.
    void set_deltas(const T* out, int64_t rows, const TilesOfA& douts) {
        alignas(64) float tile[kTileRows * kTileColumns];
        const int64_t words = words_of<T>(a_.head_size);
        float* panel = queries_;  // packed later
        for (int64_t i = 0; i < rows; i += kTileRows) {
            pack_panel_transposed(out + i * a_.stride_out, a_.stride_out, a_.head_size, rows - i, kLanes, panel);
            multiply_into(douts, i, 1, words, panel, tile);
            for (int64_t r = 0; r < kTileRows; ++r) delta_[i + r] = tile[r * kTileColumns + r];
        }
    }

    /// sums [keys, head_size] += aᵀ · b over this block's queries; the last block writes them to `to`.
    void add_to_keys(const Head& head, int64_t first, int64_t rows, const float* a, const float* b, float* sums,
                     T* to) const {
        const int64_t depth = round_up(a_.head_size, kLanes);
        const bool last = first + rows == a_.rows_q;
        const Panels columns(a_.head_size);
        const TilesOfA tiles{TileA::columns, reinterpret_cast<const char*>(a), kTileRows * 4,
                             width_ * 4,     ceil_div(head.keys, kTileRows),   nullptr};
        multiply<T>(tiles, {0, head.keys}, b, {columns, 0, columns.count}, a_.head_size, words_of<T>(rows),
                    {.to = last ? static_cast<void*>(to) : sums,
                     .to_type = last ? a_.dtype : DType::f32,
                     .ld_to = last ? a_.stride_kv : depth,
                     .previous = first ? sums : nullptr,
                     .ld_previous = depth});
    }

    /// Computes scores and dp = dout · vᵀ tile by tile, and from them, in L1, probabilities and score gradients.
    void score_gradients(const Head& head, int64_t rows, const TilesOfA& q, const TilesOfA& dout) {
        alignas(64) float scores[kTileRows * kTileColumns], dp[kTileRows * kTileColumns];
        const Panels panels(head.keys);
        const int64_t words = words_of<T>(a_.head_size);
        for (int64_t p = 0; p < panels.count; ++p) {
            const int64_t column = panels.begin(p), width = panels.end(p) - column, vectors = width / kLanes;
            for (int64_t i = 0; i < rows; i += kTileRows) {
                multiply_into(q, i, vectors, words, keys_by_column_ + column * words, scores);
                multiply_into(dout, i, vectors, words, values_by_column_ + column * words, dp);
                for (int64_t r = 0; r < kTileRows; r += kPerWord<T>)
                    for (int64_t j = 0; j < width; j += kLanes)
                        gradient(head, i + r, column + j, scores + r * kTileColumns + j, dp + r * kTileColumns + j);
            }
        }
    }

    static void multiply_into(const TilesOfA& a, int64_t row, int64_t vectors, int64_t words, const float* b,
                              float* to) {
        const int64_t tile = row / kTileRows;
        const bool direct = tile < a.direct;
        const void* from = direct ? static_cast<const void*>(a.first + tile * a.step)
                                  : a.packed + (tile - a.direct) * kTileRows * words;
        multiply_tile_of<T>(vectors, direct ? a.layout : TileA::columns)(
            words, from, direct ? a.stride : kTileRows * 4, b, {.to = to, .to_type = DType::f32, .ld_to = kTileColumns},
            0, 0, kTileRows, kTileColumns);
    }

    struct Element {
        f32v probability, gradient;
    };
    Element element(const Head& head, int64_t row, int64_t column, const float* score, const float* dp) const {
        const f32v x = load(score) * a_.scale - lse_[row];
        const f32v p = select(first_lanes(head.keys - column), exp(x), f32v{}), g = load(dp);
        if (!dropout_on_) return {p, p * a_.scale * (g - delta_[row])};
        const uint64_t kept = mask_of(bits_ + row * mask_words(a_.rows_kv), column);
        return {keep(p, kept, dropout_.scale()), p * a_.scale * (keep(g, kept, dropout_.scale()) - delta_[row])};
    }

    /// kLanes columns of one row, or of two that share words (pairs of bf16).
    void gradient(const Head& head, int64_t row, int64_t column, const float* score, const float* dp) {
        const Element e = element(head, row, column, score, dp);
        if constexpr (kPerWord<T> == 1) {
            store(probabilities_.by_query + row * width_ + column, e.probability);
            store(gradients_.by_query + row * width_ + column, e.gradient);
        } else {
            const Element f = element(head, row + 1, column, score + kTileColumns, dp + kTileColumns);
            const int64_t word = row / 2 * width_ + column;
            const u16v g0 = narrow(e.gradient), g1 = narrow(f.gradient);
            store(probabilities_.by_query + word, pairs(narrow(e.probability), narrow(f.probability)));
            store(gradients_.by_query + word, pairs(g0, g1));
            store_bits(gradients_.rows + row * width_ + column, g0, Full{});
            store_bits(gradients_.rows + (row + 1) * width_ + column, g1, Full{});
        }
    }

    static f32v pairs(u16v low, u16v high) {
        return std::bit_cast<f32v>(std::bit_cast<u32v>(widen(low)) >> 16 | std::bit_cast<u32v>(widen(high)));
    }

    const AttentionBackward& a_;
    DropoutMask dropout_;
    bool dropout_on_ = a_.dropout.active();
    int64_t width_, block_;  // keys, rounded up to whole vectors; queries at a time
    float *keys_by_column_, *values_by_column_, *keys_, *queries_, *douts_;  // packed panels
    float *query_tiles_, *dout_tiles_;                                       // packed tiles
    float *dk_, *dv_;  // [keys, depth] sums over blocks of queries
    BlockMatrix<T> probabilities_, gradients_;
    uint64_t* bits_;       // [block_, mask_words]
    float *lse_, *delta_;  // [block_]
};

template <typename T>
void backward(const AttentionBackward& a) {
    const int64_t bytes = attention_thread_bytes(a.head_size, a.rows_q, a.rows_kv);
    on_threads(true, [&] {
        BackwardThread<T> thread(a, static_cast<char*>(a.scratch) + omp_get_thread_num() * bytes);
        share_out(a.batch * a.heads, [&](int64_t task) { thread.run(Head(a, task)); });
    });
}

}  // namespace

void attention_backward(const AttentionBackward& a, Context&) {
    with_cpu_type(a.dtype, [&](auto type) { backward<decltype(type)>(a); });
}

}  // namespace dropforge::kernels::on_cpu
