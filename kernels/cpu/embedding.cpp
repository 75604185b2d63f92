// Embeddings: the sum of three table rows and its LayerNorm in one pass. Backward stores the gradients at the sums,
// then adds them to the rows of the tables, each thread a range of columns, so that an element's terms are added in the
// order of the rows.
#include "kernels/cpu/dropout.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/layernorm.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// word[id] + position[row % sequence] + type[type id], gathered at every read: after the first the rows are cached.
class SumOfTables {
  public:
    template <typename Embedding>  // EmbeddingForward or EmbeddingBackward
    SumOfTables(const Embedding& e, int64_t row)
        : word_(e.word + e.ids[row] * e.columns),
          position_(e.position + row % e.sequence * e.columns),
          type_(e.type + (e.types ? e.types[row] : 0) * e.columns) {}

    template <typename Count>
    f32v operator()(int64_t j, Count count) const {
        return load(word_ + j, count) + load(position_ + j, count) + load(type_ + j, count);
    }

  private:
    const float *word_, *position_, *type_;
};

template <typename T, typename DropRow>
void forward_row(const EmbeddingForward& e, const DropoutMask& mask, int64_t row) {
    const SumOfTables z(e, row);
    const Moments m = moments(e.columns, e.epsilon, lane_sums(e.columns, z), z);
    e.mean[row] = m.mean;
    e.rstd[row] = m.rstd;
    T* y = static_cast<T*>(e.y) + row * e.columns;
    DropRow drop(mask, row);
    for_columns(e.columns, [&](int64_t j, auto count) {
        store(y + j, drop(normalize(z(j, count), m, e.gain + j, e.bias + j, count), j), count);
    });
}

/// Gradients at the sums of rows begin … end-1 and these rows' shares of dgain and dbias.
template <typename T, typename DropRow>
void backward_rows(const EmbeddingBackward& e, const DropoutMask& mask, int64_t begin, int64_t end, float* dsum,
                   float* partials) {
    std::fill_n(partials, 2 * e.columns, 0.0f);
    for (int64_t row = begin; row < end; ++row) {
        const T* dy = static_cast<const T*>(e.dy) + row * e.columns;
        float* out = dsum + row * e.columns;
        DropRow drop(mask, row);
        layernorm_backward_row(
            e.columns, {e.mean[row], e.rstd[row]}, e.gain, partials, partials + e.columns, SumOfTables(e, row),
            [&](int64_t j, auto count) { return drop(load(dy + j, count), j); },
            [&](int64_t j, auto count, f32v gradient) { store(out + j, gradient, count); });
    }
}

constexpr int64_t kLine = 16;  // floats: two threads never write one cache line of an aligned row

/// Columns begin … begin+size-1 of the table gradients.
class TableColumns {
  public:
    static constexpr int64_t kMaxSize = 1024;

    TableColumns(const EmbeddingBackward& e, const float* dsum, int64_t begin, int64_t size)
        : e_(e), dsum_(dsum), begin_(begin), size_(size) {}

    void add_rows() {
        if (!e_.accumulate) clear();
        for (int64_t row = 0; row < e_.rows; ++row) {
            const int64_t type = e_.types ? e_.types[row] : 0;
            if (type != run_type_ || row % kRun == 0) flush(type);
            const float* gradient = dsum_ + row * e_.columns + begin_;
            if (row + kAhead < e_.rows) prefetch(at(e_.dword, e_.ids[row + kAhead]));
            float* word = at(e_.dword, e_.ids[row]);
            float* position = at(e_.dposition, row % e_.sequence);
            for_columns(size_, [&](int64_t j, auto count) {
                const f32v x = load(gradient + j, count);
                add_to(word + j, x, count);
                add_to(position + j, x, count);
                add_to(run_ + j, x, count);
            });
        }
        flush(run_type_);
    }

  private:
    static constexpr int64_t kRun =
        64;  // the few rows of the type table get many terms: sums of runs keep the rounding error low

    static constexpr int64_t kAhead = 24;  // rows to prefetch: those of the word table are all over memory

    void prefetch(const float* row) const {
        for (int64_t j = 0; j < size_; j += kLine) __builtin_prefetch(row + j, 1);
    }
    float* at(float* table, int64_t row) const { return table + row * e_.columns + begin_; }

    void clear() {
        for (int64_t row = 0; row < e_.positions; ++row) std::fill_n(at(e_.dposition, row), size_, 0.0f);
        for (int64_t row = 0; row < e_.type_count; ++row) std::fill_n(at(e_.dtype_table, row), size_, 0.0f);
    }
    /// Ends the run of one type and begins that of the next.
    void flush(int64_t next_type) {
        float* type = at(e_.dtype_table, run_type_);
        for_columns(size_, [&](int64_t j, auto count) {
            add_to(type + j, load(run_ + j, count), count);
            store(run_ + j, f32v{}, count);
        });
        run_type_ = next_type;
    }

    const EmbeddingBackward& e_;
    const float* dsum_;
    int64_t begin_, size_, run_type_ = 0;
    float run_[kMaxSize] = {};
};

void add_to_tables(const EmbeddingBackward& e, const float* dsum) {
    const int64_t lines = (e.columns + kLine - 1) / kLine;
    const int64_t slices_for_threads = std::max<int64_t>(
        omp_get_max_threads(), (e.columns + TableColumns::kMaxSize / 2 - 1) / (TableColumns::kMaxSize / 2));
    const int64_t slices = std::min(lines, slices_for_threads);
    parallel_for(slices, e.rows * e.columns, [&](int64_t i) {
        const int64_t begin = block_begin(lines, i, slices) * kLine;
        const int64_t end = std::min(e.columns, block_begin(lines, i + 1, slices) * kLine);
        TableColumns(e, dsum, begin, end - begin).add_rows();
    });
}

}  // namespace

void embedding_forward(const EmbeddingForward& e, Context&) {
    const DropoutMask mask(e.dropout, e.sequence);
    with_dropout_row(e.dtype, e.dropout, [&]<typename T, typename DropRow>() {
        parallel_for(e.rows, e.rows * e.columns, [&](int64_t row) { forward_row<T, DropRow>(e, mask, row); });
    });
}

void embedding_backward(const EmbeddingBackward& e, Context&) {
    const DropoutMask mask(e.dropout, e.sequence);
    auto* dsum = static_cast<float*>(e.scratch);
    float* partials = dsum + e.rows * e.columns;
    const int64_t stride = 2 * e.columns;
    with_dropout_row(e.dtype, e.dropout, [&]<typename T, typename DropRow>() {
        parallel_row_blocks(e.rows, e.columns, [&](int64_t block, int64_t begin, int64_t end) {
            backward_rows<T, DropRow>(e, mask, begin, end, dsum, partials + block * stride);
        });
    });
    const int64_t blocks = row_blocks(e.rows);
    add_partials(partials, blocks, stride, e.columns, e.dgain, e.accumulate);
    add_partials(partials + e.columns, blocks, stride, e.columns, e.dbias, e.accumulate);
    add_to_tables(e, dsum);
}

}  // namespace dropforge::kernels::on_cpu
