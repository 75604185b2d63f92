// Attention forward. A task is a head of a sequence, or some of its queries: keys and values are packed once, then
// blocks of queries go through scores, exact softmax and values, all of it in L2.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/parallel.h"
#include "kernels/scratch.h"

namespace dropforge::kernels::on_cpu {

namespace {

template <typename T>
class ForwardThread {
  public:
    ForwardThread(const AttentionForward& a, void* scratch)
        : a_(a), dropout_(a.dropout, a.heads * a.rows_q), width_(row_width<T>(a.rows_kv)) {
        const int64_t depth = row_width<T>(a.head_size);
        Scratch space(scratch);
        keys_ = space.take<float>(width_ * depth);
        values_ = space.take<float>(width_ * depth);
        scores_ = space.take<float>(kForwardQueries * width_);
        probabilities_ = space.take<Operand<T>>(kForwardQueries * width_);
        queries_ = space.take<float>(kForwardQueries * depth);
        factors_ = space.take<float>(kForwardQueries);
        bits_ = space.take<uint64_t>(mask_words(a.rows_kv));
    }

    /// Queries begin … end - 1 of a head.
    void run(const Head& head, int64_t begin, int64_t end) {
        pack_panels(static_cast<const T*>(a_.k) + head.kv, a_.stride_kv, true, a_.head_size, head.keys, keys_);
        pack_panels(static_cast<const T*>(a_.v) + head.kv, a_.stride_kv, false, head.keys, a_.head_size, values_);
        for (int64_t i = begin; i < end; i += kForwardQueries) block(head, i, std::min(kForwardQueries, end - i));
    }

  private:
    void block(const Head& head, int64_t first, int64_t rows) {
        const T* q = static_cast<const T*>(a_.q) + head.q + first * a_.stride_q;
        const Panels<T> by_key(head.keys), by_column(a_.head_size);
        multiply<T>(tiles_of_matrix(q, a_.stride_q, false, rows, a_.head_size, queries_), {0, rows}, keys_,
                    {by_key, 0, by_key.count}, width_, words_of<T>(a_.head_size),
                    {.to = scores_, .to_type = DType::f32, .ld_to = width_});
        for (int64_t i = 0; i < rows; ++i) softmax(head, first + i, i);
        // Sums of the values of all rows of the tile; rows beyond the queries hold an earlier block's numbers and are
        // not stored.
        const auto stride = width_ * static_cast<int64_t>(sizeof(Operand<T>));
        const TilesOfA p{TileA::rows,
                         reinterpret_cast<const char*>(probabilities_),
                         kTileRows<T> * stride,
                         stride,
                         ceil_div(rows, kTileRows<T>),
                         nullptr};
        multiply<T>(p, {0, rows}, values_, {by_column, 0, by_column.count}, a_.head_size, words_of<T>(head.keys),
                    {.to = static_cast<T*>(a_.out) + head.out + first * a_.stride_out,
                     .to_type = a_.dtype,
                     .ld_to = a_.stride_out,
                     .row_scale = factors_});
    }

    /// Row i of the block: probabilities up to a factor, by which its output is multiplied afterwards, and lse.
    void softmax(const Head& head, int64_t query, int64_t i) {
        const float* s = scores_ + i * width_;
        Operand<T>* p = probabilities_ + i * width_;
        const f32v nothing = broadcast(-std::numeric_limits<float>::infinity());
        f32v tops = nothing;
        for_columns(head.keys,
                    [&](int64_t j, auto count) { tops = max(tops, select(count, load(s + j) * a_.scale, nothing)); });
        const float top = largest(tops);

        if (dropout_on_) dropout_.fill(head.row + query, head.keys, bits_);
        f32v sums{};
        for_columns(head.keys, [&](int64_t j, auto count) {
            const f32v e = only(count, exp(load(s + j) * a_.scale - top));
            sums += e;
            store(p + j, dropout_on_ ? keep(e, mask_of(bits_, j), 1.0f) : e);
        });
        for (int64_t j = round_up(head.keys, kLanes); j < row_width<T>(head.keys); j += kLanes) store(p + j, f32v{});
        const float total = sum(sums);
        a_.lse[head.row + query] = top + std::log(total);
        factors_[i] = dropout_.scale() / total;
    }

    const AttentionForward& a_;
    DropoutMask dropout_;
    bool dropout_on_ = a_.dropout.active();
    int64_t width_;              // row_width of the keys
    float *keys_, *values_;      // packed panels
    float* scores_;              // [kForwardQueries, width_]
    Operand<T>* probabilities_;  // [kForwardQueries, width_], 0 beyond the keys
    float* queries_;             // packed tiles
    float* factors_;             // [kForwardQueries]
    uint64_t* bits_;
};

template <typename T>
void forward(const AttentionForward& a) {
    const int threads = omp_get_max_threads();
    // With few heads, threads share the queries too. Rows do not depend on each other, so this does not change a bit.
    const int64_t heads = a.batch * a.heads, blocks = ceil_div(a.rows_q, kForwardQueries);
    const int64_t parts = std::clamp<int64_t>(ceil_div(4 * threads, heads), 1, blocks);
    const int64_t rows = ceil_div(blocks, parts) * kForwardQueries;
    const int64_t bytes = attention_thread_bytes(a.head_size, a.rows_q, a.rows_kv);
    on_threads(true, [&] {
        const TileRegisters<T> registers;
        ForwardThread<T> thread(a, static_cast<char*>(a.scratch) + omp_get_thread_num() * bytes);
        share_out(heads * parts, [&](int64_t task) {
            const int64_t begin = task % parts * rows;
            if (begin < a.rows_q) thread.run(Head(a, task / parts), begin, std::min(begin + rows, a.rows_q));
        });
    });
}

}  // namespace

void attention_forward(const AttentionForward& a, Context&) {
    with_cpu_type(a.dtype, [&](auto type) { forward<decltype(type)>(a); });
}

}  // namespace dropforge::kernels::on_cpu
