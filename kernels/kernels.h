// The operations of the engine: each struct is the arguments of one, each KernelTable one backend's functions for all.
// Operations take raw pointers and know nothing of the engine.
//
// Conventions.
// - Matrices are row-major. B sequences of S tokens are T = B*S rows; h is the number of columns.
// - void* points to the struct's `dtype` (f32, bf16, or, not on the CPU, fp16), float* to f32, int32_t* to i32.
//   Arithmetic is in f32 whatever the storage.
// - Outputs are assigned; if `accumulate` is set, or where a comment says so, they are added to: (+)= in the comments.
// - Pointers are never nullptr unless a comment allows it.
// - Sums have an order that does not depend on the number of threads.
// - `scratch` points to at least as many bytes as the function `<operation>_scratch_bytes` returns.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/context.h"
#include "kernels/dropping.h"
#include "kernels/dtype.h"
#include "kernels/losses.h"
#include "kernels/optimizer.h"

namespace dropforge::kernels {

// ------------------------------------------------------------------------------------------------------------- dropout
/// One dropout of the model. Forward and backward both draw it from Philox4x32-10, so no mask is stored.
/// An element has coordinates (row, column): `row` counts rows of the step's whole global batch (rows of this call
/// start at state[3] * rows_per_sequence). Its 16-bit draw is half-word (column % 8) of philox4x32({column / 8, row,
/// site, step}, key): word (column % 8) / 2, low half first. Dropped if draw < threshold() ; kept values are multiplied
/// by scale(). `kernels/dropout.h` is the scalar form. Row and column enter the counter modulo 2^32.
struct Dropout {
    static constexpr float kLimit = 1 - 0x1p-17f;  // probabilities from here on would keep nothing

    /// [4]: key low, key high, step, first sequence of this micro-batch; may be nullptr if probability is 0.
    const uint32_t* state = nullptr;
    uint32_t site = 0;  // which dropout of the model
    float probability = 0;

    uint32_t threshold() const { return static_cast<uint32_t>(probability * 65536.0f + 0.5f); }
    float scale() const { return 65536.0f / static_cast<float>(65536u - threshold()); }
    bool active() const { return threshold() > 0; }
};

// ---------------------------------------------------------------------------------------------------------------- GEMM
enum class Gelu : uint8_t { erf, tanh };  // Hugging Face "gelu" and "gelu_new"

/// The GELU epilogue of a GEMM: GELU of the result (`output`), or a multiplication of the result by GELU's derivative
/// (`input`); at most one of the two. Only where c is assigned, has the type of a and b, and ldc = n.
struct GemmGelu {
    Gelu form = Gelu::erf;
    void* output = nullptr;       // [m,n] = gelu(c), of c before or after its rounding
    const void* input = nullptr;  // [m,n]: c = (op(a)·op(b)) ⊙ gelu'(input), op(a)·op(b) rounded first or not
};

/// GEMM: c[m,n] (+)= op(a)[m,k] · op(b)[k,n] + bias[n].
struct Gemm {
    const void* a;      // [m,k], or [k,m] if transpose_a; rows lda apart
    const void* b;      // [k,n], or [n,k] if transpose_b; rows ldb apart
    void* c;            // [m,n]; rows ldc apart
    const float* bias;  // [n] or nullptr
    int64_t m, n, k, lda, ldb, ldc;
    bool transpose_a, transpose_b, accumulate;
    DType dtype;  // of a and b
    DType out;    // of c: dtype, or f32
    /// Bias gradient of a linear layer, made with its weight gradient: (+)= Σ over k of op(a), [m], where a is
    /// transposed; or nullptr.
    float* bias_gradient = nullptr;
    void* scratch = nullptr;  // column_sum_scratch_bytes(k, m), with bias_gradient
    GemmGelu gelu = {};
};

// ---------------------------------------------------------------------------------------------------------- embeddings
/// y = dropout(LayerNorm(word[id] + position[t % sequence] + type[type id])) (Devlin et al. 2019, section 3).
struct EmbeddingForward {
    const int32_t* ids;                   // [rows]
    const int32_t* types;                 // [rows], or nullptr: all 0
    const float *word, *position, *type;  // [V,h], [P,h], [2,h]
    const float *gain, *bias;             // [h]
    void* y;                              // [rows,h]
    float *mean, *rstd;                   // [rows], saved for backward
    int64_t rows, sequence, columns;
    float epsilon;
    Dropout dropout;  // rows_per_sequence = sequence
    DType dtype;
};
/// Gradients of all five parameters from dy. The sums before LayerNorm are gathered again instead of being saved.
struct EmbeddingBackward {
    const void* dy;  // [rows,h]
    const int32_t *ids, *types;
    const float *word, *position, *type, *gain;
    const float *mean, *rstd;
    float* dword;                    // [V,h] always accumulates, since few of its rows are reached
    float *dposition, *dtype_table;  // [P,h] (all P rows are assigned, or rows < sequence accumulated), [type_count,h]
    float *dgain, *dbias;            // [h]
    void* scratch;
    int64_t rows, sequence, columns, positions, type_count;
    Dropout dropout;
    DType dtype;
    bool accumulate;  // of all but dword
};
int64_t embedding_backward_scratch_bytes(int64_t rows, int64_t columns);

// ------------------------------------------------------------------------------- dropout + residual + LayerNorm, fused
/// z = dropout(x) + residual; y = gain * (z - mean(z)) * rstd(z) + bias. Variance is the mean of squared deviations, in
/// two passes. Statistics and y may come from z before or after its rounding to dtype.
struct LayerNormForward {
    const void* x;         // [rows,h]
    const void* residual;  // [rows,h], or nullptr: z = dropout(x)
    const float *gain, *bias;
    void* z;  // [rows,h] saved for backward (may be x itself), or nullptr (then x without dropout and residual serves)
    void* y;  // [rows,h]
    float *mean, *rstd;  // [rows]
    int64_t rows, columns, rows_per_sequence;
    float epsilon;
    Dropout dropout;
    DType dtype;
};
/// dz = gradient at z (also that of the residual), dx = dropout's backward of dz, gain and bias gradients, and the
/// column sums of dx: the bias gradient of the linear layer before. Sums are in two stages of fixed order.
struct LayerNormBackward {
    const void* dy;  // [rows,h]
    const void* z;
    const float *gain, *mean, *rstd;
    void* dz;              // [rows,h]; may be dy itself
    void* dx;              // [rows,h]; nullptr: dropout is off and dz serves
    float *dgain, *dbias;  // [h]
    float* dx_sum;         // [h] or nullptr
    void* scratch;
    int64_t rows, columns, rows_per_sequence;
    Dropout dropout;
    DType dtype;
    bool accumulate;  // dgain, dbias, dx_sum
};
int64_t layernorm_backward_scratch_bytes(int64_t rows, int64_t columns);

// ----------------------------------------------------------------------------------------------------------- attention
/// The arguments that forward and backward share. Row i of sequence b begins at q + (b * rows_q + i) * stride_q
/// elements, head a at + a * head_size; k and v alike with rows_kv and stride_kv. The first lengths[b] keys of sequence
/// b are attended to. Dropout coordinates: row = (b * heads + a) * rows_q + i, with b counted from the step's first
/// sequence; column = key index.
struct AttentionArguments {
    const void *q, *k, *v;
    const int32_t* lengths;  // [B], 1 … rows_kv, or nullptr: rows_kv
    void* scratch;
    int64_t batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out;
    float scale;
    Dropout dropout;
    DType dtype;
};
/// out = dropout(softmax(scale * q·kᵀ)) · v for each sequence and head.
struct AttentionForward : AttentionArguments {
    void* out = nullptr;   // [B*rows_q, heads*head_size], rows stride_out apart
    float* lse = nullptr;  // [B,heads,rows_q] log-sum-exp of the scaled scores, saved for backward
};
/// dq, dk, dv from dout; probabilities are recomputed from lse. Keys from lengths[b] on get dk = dv = 0.
struct AttentionBackward : AttentionArguments {
    const void *out = nullptr, *dout = nullptr;  // dout as out: rows stride_out apart
    const float* lse = nullptr;
    void *dq = nullptr, *dk = nullptr, *dv = nullptr;  // as q, k, v: rows stride_q, stride_kv apart; assigned
};
int64_t attention_scratch_bytes(int64_t batch, int64_t heads, int64_t head_size, int64_t rows_q, int64_t rows_kv);

// ----------------------------------------------------------------------------------------------------------- pointwise
/// y = gelu(x), n elements.
struct GeluForward {
    const void* x;
    void* y;
    int64_t n;
    Gelu form;
    DType dtype;
};
/// dx = dy * gelu'(x); dx_sum = column sums of dx: the bias gradient of the linear layer before, unless the GEMM of the
/// weight gradient makes it (Gemm::bias_gradient). y = gelu(x) can be recomputed, with the bits of GeluForward, so that
/// it need not be kept for the weight gradient of the layer after.
struct GeluBackward {
    const void *dy, *x;
    void* dx;                 // may be dy itself
    void* y = nullptr;        // gelu(x), may be x itself; or nullptr
    float* dx_sum = nullptr;  // [columns] or nullptr
    void* scratch = nullptr;  // with dx_sum
    int64_t rows, columns;
    Gelu form;
    DType dtype;
    bool accumulate = false;  // dx_sum
};
/// y = tanh(x) (BERT's pooler).
struct TanhForward {
    const void* x;
    void* y;
    int64_t n;
    DType dtype;
};
/// dx = dy * (1 - y²) and its column sums.
struct TanhBackward {
    const void *dy, *y;
    void* dx;       // may be dy itself
    float* dx_sum;  // [columns]
    void* scratch;
    int64_t rows, columns;
    DType dtype;
    bool accumulate;  // dx_sum
};
/// y = dropout(x), and its backward: dx = dropout(dy).
struct DropoutRows {
    const void* x;  // [rows, columns]
    void* y;        // may be x itself
    int64_t rows, columns, rows_per_sequence;
    Dropout dropout;
    DType dtype;
};
/// sum[columns] (+)= column sums of x [rows, columns], rows `stride` elements apart: a bias gradient.
struct ColumnSum {
    const void* x;
    float* sum;
    void* scratch;
    int64_t rows, columns, stride;
    DType dtype;
    bool accumulate;
};
int64_t column_sum_scratch_bytes(int64_t rows, int64_t columns);  // also of GeluBackward and TanhBackward
/// The ColumnSum that computes Gemm::bias_gradient.
inline ColumnSum column_sum_of(const Gemm& g) {
    return {.x = g.a,
            .sum = g.bias_gradient,
            .scratch = g.scratch,
            .rows = g.k,
            .columns = g.m,
            .stride = g.lda,
            .dtype = g.dtype,
            .accumulate = g.accumulate};
}
/// The operations after a GEMM without epilogue that compute Gemm::gelu: for `output`, for `input`.
inline GeluForward gelu_after(const Gemm& g) {
    return {.x = g.c, .y = g.gelu.output, .n = g.m * g.n, .form = g.gelu.form, .dtype = g.out};
}
inline GeluBackward gelu_slope_after(const Gemm& g) {
    return {.dy = g.c, .x = g.gelu.input, .dx = g.c, .rows = g.m, .columns = g.n, .form = g.gelu.form, .dtype = g.out};
}

// ---------------------------------------------------------------------------------------------------------------- rows
/// to[b*count + r] = from[b*per_sequence + index[b*count + r]] for b < batch, r < count.
struct GatherRows {
    const void* from;      // [batch*per_sequence, columns]
    const int32_t* index;  // [batch,count], each in 0 … per_sequence-1, duplicates allowed
    void* to;              // [batch*count, columns]
    int64_t batch, count, per_sequence, columns;
    DType dtype;
};
/// The reverse of GatherRows: to[b*per_sequence + index] (+)= from. Of duplicates the highest r is assigned, or all are
/// added in order of r, in f32, before one rounding. Rows that no index names keep their values, or become 0 if
/// `clear`.
struct ScatterRows {
    const void* from;
    const int32_t* index;
    void* to;
    int64_t batch, count, per_sequence, columns;
    DType dtype;
    bool accumulate, clear;
};

// --------------------------------------------------------------------------------------------------------- elementwise
/// to[i] = from[i], rounded to nearest even.
struct Cast {
    const void* from;
    void* to;
    int64_t n;
    DType from_dtype, to_dtype;
};
/// Sets `bytes` bytes to 0.
struct Clear {
    void* to;
    int64_t bytes;
};
/// to[i] += x[i], n elements: sums the gradients of two consumers of one tensor.
struct Add {
    void* to;
    const void* x;
    int64_t n;
    DType dtype;
};

// --------------------------------------------------------------------------------------------------------------- table
/// A backend: a function for each operation.
struct KernelTable {
    const char* name;  // "cpu avx2", "reference", "cuda"
    std::unique_ptr<Context> (*create_context)();

    void (*gemm)(const Gemm&, Context&);
    void (*embedding_forward)(const EmbeddingForward&, Context&);
    void (*embedding_backward)(const EmbeddingBackward&, Context&);
    void (*layernorm_forward)(const LayerNormForward&, Context&);
    void (*layernorm_backward)(const LayerNormBackward&, Context&);
    void (*attention_forward)(const AttentionForward&, Context&);
    void (*attention_backward)(const AttentionBackward&, Context&);
    void (*gelu_forward)(const GeluForward&, Context&);
    void (*gelu_backward)(const GeluBackward&, Context&);
    void (*tanh_forward)(const TanhForward&, Context&);
    void (*tanh_backward)(const TanhBackward&, Context&);
    void (*dropout)(const DropoutRows&, Context&);
    void (*column_sum)(const ColumnSum&, Context&);
    void (*gather_rows)(const GatherRows&, Context&);
    void (*scatter_rows)(const ScatterRows&, Context&);
    void (*cross_entropy)(const CrossEntropy&, Context&);
    void (*squared_error)(const SquaredError&, Context&);
    void (*span_loss)(const SpanLoss&, Context&);
    void (*loss_totals)(const LossTotals&, Context&);
    void (*global_norm)(const GlobalNorm&, Context&);
    void (*loss_scale)(const LossScaleStep&, Context&);
    void (*adamw)(const Update&, Context&);
    void (*lamb)(const Update&, Context&);
    void (*cast)(const Cast&, Context&);
    void (*clear)(const Clear&, Context&);
    void (*add)(const Add&, Context&);
    void (*token_values)(const TokenValues&, Context&);
    void (*top_k)(const TopK&, Context&);
    void (*merge_rows)(const MergeRows&, Context&);
    void (*split_rows)(const SplitRows&, Context&);
    void (*importance_sums)(const ImportanceSums&, Context&);
    void (*importance_update)(const ImportanceUpdate&, Context&);
    void (*pool_forward)(const PoolForward&, Context&);
    void (*pool_backward)(const PoolBackward&, Context&);
    void (*kl_divergence)(const KlDivergence&, Context&);
};

/// Scalar kernels that accumulate in double: the documentation of the maths, and the oracle of the tests.
const KernelTable& reference();
/// Vectorised, threaded (OpenMP) kernels at the level of cpu_level.h. Error if DROPFORGE_CPU names one this CPU lacks.
const KernelTable& cpu();

}  // namespace dropforge::kernels
