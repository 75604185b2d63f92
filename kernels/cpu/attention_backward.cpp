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

template <typename T>
constexpr int64_t kTileColumns = kLanes* kTileVectors<T>;

/// Probabilities after dropout, or score gradients, of a block of queries, in the layouts of the multiplications.
template <typename T>
struct BlockMatrix {
    float* transposed;  // words along queries: a tile of a is columns of [words of queries][keys] or, for AMX, rows of
                        // [keys][words of queries]
    Operand<T>* rows;   // [queries, keys]; the same memory where a word is one element
};

template <typename T>
class BackwardThread {
  public:
    BackwardThread(const AttentionBackward& a, void* scratch)
        : a_(a),
          dropout_(a.dropout, a.heads * a.rows_q),
          width_(row_width<T>(a.rows_kv)),
          block_(backward_queries(a.rows_q, a.rows_kv)) {
        const int64_t depth = row_width<T>(a.head_size);
        Scratch space(scratch);
        for (float** panels : {&keys_by_column_, &values_by_column_, &keys_, &dk_, &dv_})
            *panels = space.take<float>(width_ * depth);
        for (float** panels : {&queries_, &douts_, &query_tiles_, &dout_tiles_})
            *panels = space.take<float>(block_ * depth);
        probabilities_.transposed = space.take<float>(block_ / kPerWord<T> * width_);
        gradients_.transposed = space.take<float>(block_ / kPerWord<T> * width_);
        if constexpr (kPerWord<T> == 1)
            gradients_.rows = gradients_.transposed;
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
        for (int64_t i = rows; i < round_up(rows, kTileRows<T>); ++i)  // rows beyond the last query: probability 0
            lse_[i] = std::numeric_limits<float>::infinity();

        const TilesOfA douts = tiles_of_matrix(dout, a_.stride_out, false, rows, a_.head_size, dout_tiles_);
        set_deltas(out, rows, douts);
        score_gradients(head, rows, tiles_of_matrix(q, a_.stride_q, false, rows, a_.head_size, query_tiles_), douts);

        pack_panels(q, a_.stride_q, false, rows, a_.head_size, queries_);
        pack_panels(dout, a_.stride_out, false, rows, a_.head_size, douts_);
        add_to_keys(head, first, rows, probabilities_.transposed, douts_, dv_, static_cast<T*>(a_.dv) + head.kv);
        add_to_keys(head, first, rows, gradients_.transposed, queries_, dk_, static_cast<T*>(a_.dk) + head.kv);
        const Panels<T> columns(a_.head_size);
        const auto stride = width_ * static_cast<int64_t>(sizeof(Operand<T>));
        const TilesOfA ds{TileA::rows,
                          reinterpret_cast<const char*>(gradients_.rows),
                          kTileRows<T> * stride,
                          stride,
                          ceil_div(rows, kTileRows<T>),
                          nullptr};
        multiply<T>(
            ds, {0, rows}, keys_, {columns, 0, columns.count}, a_.head_size, words_of<T>(head.keys),
            {.to = static_cast<T*>(a_.dq) + head.q + first * a_.stride_q, .to_type = a_.dtype, .ld_to = a_.stride_q});
    }

    /// delta = dout · out of each row, summed as dp = dout · vᵀ is, so that they cancel exactly where a query has one
    /// key.
    void set_deltas(const T* out, int64_t rows, const TilesOfA& douts) {
        alignas(64) float tile[kTileRows<T> * kTileColumns<T>];
        constexpr int64_t kWidth = round_up(kTileRows<T>, kLanes);
        const int64_t words = words_of<T>(a_.head_size);
        float* panel = queries_;  // packed later
        for (int64_t i = 0; i < rows; i += kTileRows<T>) {
            pack_panel_transposed(out + i * a_.stride_out, a_.stride_out, a_.head_size, rows - i, kWidth, panel);
            multiply_into(douts, i, kWidth / kLanes, words, panel, tile);
            for (int64_t r = 0; r < kTileRows<T>; ++r) delta_[i + r] = tile[r * kTileColumns<T> + r];
        }
    }

    /// sums [keys, head_size] += aᵀ · b over this block's queries; the last block writes them to `to`.
    void add_to_keys(const Head& head, int64_t first, int64_t rows, const float* a, const float* b, float* sums,
                     T* to) const {
        const int64_t depth = row_width<T>(a_.head_size);
        const bool last = first + rows == a_.rows_q;
        const Panels<T> columns(a_.head_size);
        constexpr bool kRows = kPackedTile<T> == TileA::blocks;
        const int64_t stride = 4 * (kRows ? block_ / kPerWord<T> : width_);
        const TilesOfA tiles{kRows ? TileA::rows : TileA::columns, reinterpret_cast<const char*>(a),
                             kTileRows<T> * (kRows ? stride : 4),  stride,
                             ceil_div(head.keys, kTileRows<T>),    nullptr};
        multiply<T>(tiles, {0, head.keys}, b, {columns, 0, columns.count}, a_.head_size, words_of<T>(rows),
                    {.to = last ? static_cast<void*>(to) : sums,
                     .to_type = last ? a_.dtype : DType::f32,
                     .ld_to = last ? a_.stride_kv : depth,
                     .previous = first ? sums : nullptr,
                     .ld_previous = depth});
    }

    /// Computes scores and dp = dout · vᵀ tile by tile, and from them, in L1, probabilities and score gradients.
    void score_gradients(const Head& head, int64_t rows, const TilesOfA& q, const TilesOfA& dout) {
        alignas(64) float scores[kTileRows<T> * kTileColumns<T>], dp[kTileRows<T> * kTileColumns<T>];
        const Panels<T> panels(head.keys);
        const int64_t words = words_of<T>(a_.head_size);
        for (int64_t p = 0; p < panels.count; ++p) {
            const int64_t column = panels.begin(p), width = panels.end(p) - column, vectors = width / kLanes;
            for (int64_t i = 0; i < rows; i += kTileRows<T>) {
                multiply_into(q, i, vectors, words, keys_by_column_ + column * words, scores);
                multiply_into(dout, i, vectors, words, values_by_column_ + column * words, dp);
                for (int64_t j = 0; j < width; j += kLanes) gradients(head, i, column + j, scores + j, dp + j);
            }
        }
        for (int64_t j = round_up(head.keys, kLanes); j < row_width<T>(head.keys); j += kLanes)
            for (int64_t i = 0; i < rows; ++i) store(gradients_.rows + i * width_ + j, f32v{});
    }

    static void multiply_into(const TilesOfA& a, int64_t row, int64_t vectors, int64_t words, const float* b,
                              float* to) {
        const TileOfA tile = a.tile<T>(row / kTileRows<T>, words);
        multiply_tile_of<T>(vectors, tile.layout)(words, tile.first, tile.stride, b,
                                                  {.to = to, .to_type = DType::f32, .ld_to = kTileColumns<T>}, 0, 0,
                                                  kTileRows<T>, kTileColumns<T>);
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

    /// kLanes columns of a tile's rows.
    void gradients(const Head& head, int64_t row, int64_t column, const float* scores, const float* dp) {
        constexpr int64_t kWords = kTileRows<T> / kPerWord<T>;
        Element words[kWords];
        for (int64_t w = 0; w < kWords; ++w) {
            const int64_t r = w * kPerWord<T>;
            words[w] = word(head, row + r, column, scores + r * kTileColumns<T>, dp + r * kTileColumns<T>);
        }
        if constexpr (kPackedTile<T> == TileA::blocks) {
            put_transposed(words, row, column);
        } else {
            for (int64_t w = 0; w < kWords; ++w) {
                const int64_t to = (row / kPerWord<T> + w) * width_ + column;
                store(probabilities_.transposed + to, words[w].probability);
                store(gradients_.transposed + to, words[w].gradient);
            }
        }
    }

    /// kLanes columns of one row, or of two as words (pairs of bf16), whose gradients are also stored as rows.
    Element word(const Head& head, int64_t row, int64_t column, const float* score, const float* dp) {
        const Element e = element(head, row, column, score, dp);
        if constexpr (kPerWord<T> == 1) return e;
        const Element f = element(head, row + 1, column, score + kTileColumns<T>, dp + kTileColumns<T>);
        const u16v g0 = narrow(e.gradient), g1 = narrow(f.gradient);
        if constexpr (kPerWord<T> == 2) {
            store_bits(gradients_.rows + row * width_ + column, g0, Full{});
            store_bits(gradients_.rows + (row + 1) * width_ + column, g1, Full{});
        }
        return {pairs(narrow(e.probability), narrow(f.probability)), pairs(g0, g1)};
    }

    /// A tile's words as rows of kLanes keys.
    void put_transposed(const Element (&words)[kLanes], int64_t row, int64_t column) {
        f32v block[kLanes];
        const int64_t stride = block_ / kPerWord<T>;
        const auto put = [&](f32v Element::*part, float* to) {
            for (int i = 0; i < kLanes; ++i) block[i] = words[i].*part;
            transpose(block);
            for (int i = 0; i < kLanes; ++i) store(to + (column + i) * stride + row / kPerWord<T>, block[i]);
        };
        put(&Element::probability, probabilities_.transposed);
        put(&Element::gradient, gradients_.transposed);
    }

    static f32v pairs(u16v low, u16v high) {
        return std::bit_cast<f32v>(std::bit_cast<u32v>(widen(low)) >> 16 | std::bit_cast<u32v>(widen(high)));
    }

    const AttentionBackward& a_;
    DropoutMask dropout_;
    bool dropout_on_ = a_.dropout.active();
    int64_t width_, block_;                                                  // row_width of the keys; queries at a time
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
        const TileRegisters<T> registers;
        BackwardThread<T> thread(a, static_cast<char*>(a.scratch) + omp_get_thread_num() * bytes);
        share_out(a.batch * a.heads, [&](int64_t task) { thread.run(Head(a, task)); });
    });
}

}  // namespace

void attention_backward(const AttentionBackward& a, Context&) {
    with_cpu_type(a.dtype, [&](auto type) { backward<decltype(type)>(a); });
}

}  // namespace dropforge::kernels::on_cpu
