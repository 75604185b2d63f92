// Attention backward (Dao et al. 2022, "FlashAttention", appendix B.2): a task is a head of a sequence; blocks of its
// queries, in order, give their dq and add to dk and dv. Probabilities are made again from the saved log-sum-exp.
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/cpu/attention.h"
#include "kernels/scratch.h"

namespace dropforge::kernels::on_cpu {

#if DROPFORGE_AVX512

namespace {

constexpr int64_t kTileColumns = kLanes * kTileVectors;

/// Probabilities after dropout or score gradients of a block of queries, as the products need them.
template <typename T>
struct BlockMatrix {
    float* by_query;  // words along queries [words of queries][keys]: a is its transpose
    T* rows;          // [queries, keys]; of f32 the same memory
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
            delta_[i] = dot(dout + i * a_.stride_out, out + i * a_.stride_out);
        }
        for (int64_t i = rows; i < round_up(rows, kTileRows); ++i)  // rows that fill up the last tile: probability 0
            lse_[i] = std::numeric_limits<float>::infinity(), delta_[i] = 0;

        score_gradients(head, rows, tiles_of_matrix(q, a_.stride_q, false, rows, a_.head_size, query_tiles_),
                        tiles_of_matrix(dout, a_.stride_out, false, rows, a_.head_size, dout_tiles_));

        pack_panels(q, a_.stride_q, false, rows, a_.head_size, queries_);
        pack_panels(dout, a_.stride_out, false, rows, a_.head_size, douts_);
        add_to_keys(head, first, rows, probabilities_.by_query, douts_, dv_, static_cast<T*>(a_.dv) + head.kv);
        add_to_keys(head, first, rows, gradients_.by_query, queries_, dk_, static_cast<T*>(a_.dk) + head.kv);
        const Panels columns(a_.head_size);
        const auto stride = width_ * static_cast<int64_t>(sizeof(T));
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

    float dot(const T* a, const T* b) const {
        __m512 sum = _mm512_setzero_ps();
        for (int64_t d = 0; d < a_.head_size; d += kLanes) {
            const __mmask16 mask = first_lanes(a_.head_size - d);
            sum = _mm512_fmadd_ps(load(a + d, mask), load(b + d, mask), sum);
        }
        return _mm512_reduce_add_ps(sum);
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

    /// Scores and dp = dout · vᵀ tile by tile, turned into probabilities and score gradients while they lie in L1.
    void score_gradients(const Head& head, int64_t rows, const TilesOfA& q, const TilesOfA& dout) {
        alignas(64) float scores[kTileRows * kTileColumns], dp[kTileRows * kTileColumns];
        const Panels panels(head.keys);
        const int64_t words = words_of<T>(a_.head_size);
        for (int64_t p = 0; p < panels.count; ++p) {
            const int64_t column = panels.begin(p), width = panels.end(p) - column, vectors = width / kLanes;
            for (int64_t i = 0; i < rows; i += kTileRows) {
                product(q, i, vectors, words, keys_by_column_ + column * words, scores);
                product(dout, i, vectors, words, values_by_column_ + column * words, dp);
                for (int64_t r = 0; r < kTileRows; r += kPerWord<T>)
                    for (int64_t j = 0; j < width; j += kLanes)
                        gradient(head, i + r, column + j, scores + r * kTileColumns + j, dp + r * kTileColumns + j);
            }
        }
    }

    static void product(const TilesOfA& a, int64_t row, int64_t vectors, int64_t words, const float* b, float* to) {
        const int64_t tile = row / kTileRows;
        const bool direct = tile < a.direct;
        const void* from = direct ? static_cast<const void*>(a.first + tile * a.step)
                                  : a.packed + (tile - a.direct) * kTileRows * words;
        multiply_tile_of<T>(vectors, direct ? a.layout : TileA::columns)(
            words, from, direct ? a.stride : kTileRows * 4, b, {.to = to, .to_type = DType::f32, .ld_to = kTileColumns},
            0, 0, kTileRows, kTileColumns);
    }

    struct Element {
        __m512 probability, gradient;
    };
    Element element(const Head& head, int64_t row, int64_t column, const float* score, const float* dp) const {
        const __m512 scale = _mm512_set1_ps(a_.scale);
        const __m512 x = _mm512_fmsub_ps(_mm512_load_ps(score), scale, _mm512_set1_ps(lse_[row]));
        __m512 p = _mm512_maskz_mov_ps(first_lanes(head.keys - column), exp(x)), g = _mm512_load_ps(dp);
        const __m512 p_scaled = _mm512_mul_ps(p, scale), delta = _mm512_set1_ps(delta_[row]);
        if (dropout_on_) {
            const __mmask16 kept = mask_of(bits_ + row * mask_words(a_.rows_kv), column);
            const __m512 factor = _mm512_set1_ps(dropout_.scale());
            p = _mm512_maskz_mul_ps(kept, p, factor);
            g = _mm512_maskz_mul_ps(kept, g, factor);
        }
        return {p, _mm512_mul_ps(p_scaled, _mm512_sub_ps(g, delta))};
    }

    /// 16 columns of one row (f32), or of two that share words (bf16).
    void gradient(const Head& head, int64_t row, int64_t column, const float* score, const float* dp) {
        const Element e = element(head, row, column, score, dp);
        if constexpr (kPerWord<T> == 1) {
            _mm512_storeu_ps(probabilities_.by_query + row * width_ + column, e.probability);
            _mm512_storeu_ps(gradients_.by_query + row * width_ + column, e.gradient);
        } else {
            const Element f = element(head, row + 1, column, score + kTileColumns, dp + kTileColumns);
            const int64_t word = row / 2 * width_ + column;
            const u16v g0 = narrow(e.gradient), g1 = narrow(f.gradient);
            _mm512_storeu_si512(probabilities_.by_query + word, pairs(narrow(e.probability), narrow(f.probability)));
            _mm512_storeu_si512(gradients_.by_query + word, pairs(g0, g1));
            std::memcpy(static_cast<void*>(gradients_.rows + row * width_ + column), &g0, sizeof g0);
            std::memcpy(static_cast<void*>(gradients_.rows + (row + 1) * width_ + column), &g1, sizeof g1);
        }
    }

    static __m512i pairs(u16v low, u16v high) {
        return _mm512_or_si512(_mm512_cvtepu16_epi32(std::bit_cast<__m256i>(low)),
                               _mm512_slli_epi32(_mm512_cvtepu16_epi32(std::bit_cast<__m256i>(high)), 16));
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
#pragma omp parallel
    {
        BackwardThread<T> thread(a, static_cast<char*>(a.scratch) + omp_get_thread_num() * bytes);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < a.batch * a.heads; ++task) thread.run(Head(a, task));
    }
}

}  // namespace

void attention_backward_tiled(const AttentionBackward& a) {
    if (a.dtype == DType::f32) return backward<float>(a);
#ifdef __AVX512BF16__
    backward<bf16>(a);
#endif
}

#else

void attention_backward_tiled(const AttentionBackward&) { throw Error("tiled attention needs a build for AVX-512"); }

#endif

}  // namespace dropforge::kernels::on_cpu
