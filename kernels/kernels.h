// Every operation of the engine, once. A backend fills one KernelTable; raw pointers in, raw pointers out, no knowledge
// of the engine.
//
// Conventions. Matrices are row-major. "float type" means f32, bf16 or (not on the CPU) fp16, given by the struct's
// `dtype`; arithmetic is in f32 whatever the storage. void* points to that float type, float* to f32, int32_t* to i32.
// Outputs are assigned unless a comment says "accumulates" or the struct has `accumulate`. nullptr is allowed only
// where said. Sums run in an order that does not depend on the number of threads. A `scratch` has the number of bytes
// that the function `<op>_scratch_bytes` gives. T = rows = B*S in the BERT layers, h = columns.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/context.h"
#include "kernels/dropping.h"
#include "kernels/dtype.h"
#include "kernels/optimizer.h"

namespace dropforge::kernels {

// ------------------------------------------------------------------------------------------------------------- dropout
/// One dropout of the model, drawn anew in forward and backward from Philox4x32-10, so no mask is stored.
/// An element has coordinates (row, column): `row` counts rows of the step's whole global batch (rows of this call
/// start at state[3] * rows_per_sequence). Its 16-bit draw is half-word (column % 8) of philox4x32({column / 8, row,
/// site, step}, key): word (column % 8) / 2, low half first. Dropped if draw < threshold() ; kept values are multiplied
/// by scale(). `kernels/dropout.h` is the scalar form. Row and column enter the counter modulo 2^32.
struct Dropout {
    static constexpr float kLimit = 1 - 0x1p-17f;  // of probabilities: from here on nothing would be kept

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

/// GELU with the product before it, or its slope with the product that makes its gradient: one of the two, where c is
/// assigned, has the type of a and b, and its rows are n apart.
struct GeluOfGemm {
    Gelu form = Gelu::erf;
    void* output = nullptr;       // [m,n] = gelu(c), of c before or after its rounding
    const void* input = nullptr;  // [m,n]: c = (op(a)·op(b)) ⊙ gelu'(input), the product rounded before or not
};

/// c[m,n] (+)= op(a)[m,k] · op(b)[k,n] + bias[n].
struct Gemm {
    const void* a;      // [m,k], or [k,m] if transpose_a; rows lda apart
    const void* b;      // [k,n], or [n,k] if transpose_b; rows ldb apart
    void* c;            // [m,n]; rows ldc apart
    const float* bias;  // [n] or nullptr
    int64_t m, n, k, lda, ldb, ldc;
    bool transpose_a, transpose_b, accumulate;
    DType dtype;  // of a and b
    DType out;    // of c: dtype, or f32
    /// A bias's gradient beside its weight's: (+)= Σ over k of op(a), [m], where a is transposed; nullptr: not asked
    /// for.
    float* a_sums = nullptr;
    void* scratch = nullptr;  // column_sum_scratch_bytes(k, m), with a_sums
    GeluOfGemm gelu = {};
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
/// column sums of dx: the gradient of the bias of the linear layer before. Fixed-order two-stage sums.
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
/// What both passes are given. Row i of sequence b: q + (b * rows_q + i) * stride_q elements, head a at + a *
/// head_size; k and v alike with rows_kv, stride_kv; keys of sequence b are its first lengths[b] rows. Dropout
/// coordinates: row = (b * heads + a) * rows_q + i counted with b from the step's first sequence, column = key index.
struct AttentionArguments {
    const void *q, *k, *v;
    const int32_t* lengths;  // [B], 1 … rows_kv, or nullptr: rows_kv
    void* scratch;
    int64_t batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv, stride_out;
    float scale;
    Dropout dropout;
    DType dtype;
};
/// out = dropout(softmax(scale * q·kᵀ)) · v per sequence and head.
struct AttentionForward : AttentionArguments {
    void* out = nullptr;   // [B*rows_q, heads*head_size], rows stride_out apart
    float* lse = nullptr;  // [B,heads,rows_q] log-sum-exp of the scaled scores, saved for backward
};
/// dq, dk, dv from dout; probabilities are computed again from lse. Rows of keys ≥ lengths[b] get dk = dv = 0.
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
/// dx = dy * gelu'(x); dx_sum[columns] = column sums of dx: the gradient of the bias of the linear layer before, if it
/// is not made beside that of its weight (Gemm::a_sums). The forward's y can come along, with the same bits: then it
/// need not be kept for the gradient of the layer after.
struct GeluBackward {
    const void *dy, *x;
    void* dx;                 // may be dy itself
    void* y = nullptr;        // gelu(x) again, may be x itself; nullptr: not asked for
    float* dx_sum = nullptr;  // [columns]; nullptr: not asked for
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
/// sum[columns] (+)= column sums of x [rows, columns], rows stride apart: the gradient of a bias.
struct ColumnSum {
    const void* x;
    float* sum;
    void* scratch;
    int64_t rows, columns, stride;
    DType dtype;
    bool accumulate;
};
int64_t column_sum_scratch_bytes(int64_t rows, int64_t columns);  // also of GeluBackward and TanhBackward
/// Gemm::a_sums as an operation of its own.
inline ColumnSum column_sum_of(const Gemm& g) {
    return {.x = g.a,
            .sum = g.a_sums,
            .scratch = g.scratch,
            .rows = g.k,
            .columns = g.m,
            .stride = g.lda,
            .dtype = g.dtype,
            .accumulate = g.accumulate};
}
/// Gemm::gelu as operations of their own, after the product.
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
/// The reverse of GatherRows: to[b*per_sequence + index] = from (the highest r wins), or += (accumulate: duplicates add
/// up in order of r, summed in f32 before one rounding). Rows without an index are left as they are, or set to 0 first
/// if clear.
struct ScatterRows {
    const void* from;
    const int32_t* index;
    void* to;
    int64_t batch, count, per_sequence, columns;
    DType dtype;
    bool accumulate, clear;
};

// -------------------------------------------------------------------------------------------------------------- losses
/// Softmax cross-entropy of rows of logits, in place: loss[r] = logsumexp - logit[label] where weight[r] > 0, else 0;
/// then, if gradient_scale is given, logits become d(sum of losses * *gradient_scale)/d(logits), times *loss_scale;
/// columns … stride-1 become 0.
struct CrossEntropy {
    void* logits;                       // [rows, stride], the first `columns` are classes
    const int32_t* labels;              // [rows], valid classes even where the weight is 0
    const float* weights;               // [rows] 1 or 0; nullptr: all 1
    const float* gradient_scale;        // [1] or nullptr: no gradient is written and logits stay
    const float* loss_scale = nullptr;  // [1] or nullptr: 1; see LossScale
    float* loss;                        // [rows]
    float* correct;                     // [rows] 1 where weight > 0 and the label has the (first) largest logit, else 0
    int64_t rows, columns, stride;
    DType dtype;
};
/// totals[0..2] (+)= sums over rows of loss, weight (1 if nullptr), correct. The mean is taken once, at the optimizer
/// step.
struct LossTotals {
    const float *loss, *weights, *correct;  // [rows]
    float* totals;                          // [3]
    int64_t rows;
    bool accumulate;
};

// --------------------------------------------------------------------------------------------------------- elementwise
/// to[i] = from[i], rounded to nearest even.
struct Cast {
    const void* from;
    void* to;
    int64_t n;
    DType from_dtype, to_dtype;
};
/// All bytes become 0.
struct Clear {
    void* to;
    int64_t bytes;
};
/// to[i] += x[i], n elements: the gradients of two ways that part at a tensor.
struct Add {
    void* to;
    const void* x;
    int64_t n;
    DType dtype;
};

// --------------------------------------------------------------------------------------------------------------- table
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
    void (*column_sum)(const ColumnSum&, Context&);
    void (*gather_rows)(const GatherRows&, Context&);
    void (*scatter_rows)(const ScatterRows&, Context&);
    void (*cross_entropy)(const CrossEntropy&, Context&);
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

/// Scalar, double accumulation: the documentation of the maths and the oracle of every test.
const KernelTable& reference();
/// Vectorised, threaded (OpenMP), at the level of cpu_level.h. Error if DROPFORGE_CPU asks for one that is not there.
const KernelTable& cpu();

}  // namespace dropforge::kernels
