#include "bench/measure/kernel_cases.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <span>

#include "bench/measure/kernel_memory.h"

namespace dropforge {

using namespace kernels;

Gemm gemm_operands(KernelMemory& m, DType dtype, DType out, int64_t rows, int64_t columns, int64_t depth,
                   bool transpose_a, bool transpose_b) {
    return {.a = m.values(rows * depth),
            .b = m.values(depth * columns),
            .c = m.scratch(rows * columns * static_cast<int64_t>(size_of(out))),
            .bias = nullptr,
            .m = rows,
            .n = columns,
            .k = depth,
            .lda = transpose_a ? rows : depth,
            .ldb = transpose_b ? depth : columns,
            .ldc = columns,
            .transpose_a = transpose_a,
            .transpose_b = transpose_b,
            .accumulate = false,
            .dtype = dtype,
            .out = out};
}

double flops_of(const Gemm& g) {
    return 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k);
}

namespace {

// -------------------------------------------------------------------------------------------------- GEMM and attention
KernelCase gemm(const KernelMemoryPtr& m, const Gemm& g) {
    m->count(static_cast<double>(g.m * g.n) * static_cast<double>(size_of(g.out)));
    return make_case(m, g, &KernelTable::gemm, flops_of(g));
}

/// The GEMMs of a feed-forward network with epilogues: the first layer with GELU, the second's input gradient with
/// GELU's slope, and the first's weight gradient with its bias gradient.
KernelCase gemm_gelu(const ModelShape& s, const KernelMemoryPtr& m, DType dtype, Gelu form, bool slope) {
    const int64_t columns = 4 * s.hidden;
    Gemm g = gemm_operands(*m, dtype, dtype, s.rows, columns, s.hidden, false, !slope);
    void* matrix = m->values(s.rows * columns);
    g.gelu = {.form = form, .output = slope ? nullptr : matrix, .input = slope ? matrix : nullptr};
    if (!slope) g.bias = m->floats(columns);
    return gemm(m, g);
}
KernelCase gemm_sums(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t columns = 4 * s.hidden;
    Gemm g = gemm_operands(*m, dtype, DType::f32, columns, s.hidden, s.rows, true, false);
    g.scratch = m->scratch(column_sum_scratch_bytes(s.rows, columns));
    g.bias_gradient = m->floats(columns);
    return gemm(m, g);
}

/// q, k and v are blocks of one fused [rows, 3h] tensor.
AttentionArguments attention_arguments(const ModelShape& s, KernelMemory& m, DType dtype) {
    const auto* qkv = static_cast<const std::byte*>(m.values(s.rows * 3 * s.hidden));
    const size_t width = static_cast<size_t>(s.hidden) * size_of(dtype);
    const int64_t batch = s.rows / s.sequence, size = s.hidden / s.heads;
    return {.q = qkv,
            .k = qkv + width,
            .v = qkv + 2 * width,
            .lengths = nullptr,
            .scratch = m.scratch(attention_scratch_bytes(batch, s.heads, size, s.sequence, s.sequence)),
            .batch = batch,
            .heads = s.heads,
            .head_size = size,
            .rows_q = s.sequence,
            .rows_kv = s.sequence,
            .stride_q = 3 * s.hidden,
            .stride_kv = 3 * s.hidden,
            .stride_out = s.hidden,
            .scale = 1 / std::sqrt(static_cast<float>(size)),
            .dropout = m.dropout(),
            .dtype = dtype};
}
/// FLOPs of attention, which has two matrix multiplications forward and five backward.
double attention_flops(const ModelShape& s, double multiplications) {
    return multiplications * 2 * static_cast<double>(s.rows) * static_cast<double>(s.sequence) *
           static_cast<double>(s.hidden);
}
KernelCase attention_forward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    AttentionForward a{attention_arguments(s, *m, dtype)};
    a.out = m->values(s.rows * s.hidden);
    a.lse = m->floats(s.rows * s.heads);
    return make_case(m, a, &KernelTable::attention_forward, attention_flops(s, 2));
}
KernelCase attention_backward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    AttentionBackward a{attention_arguments(s, *m, dtype)};
    a.out = m->values(s.rows * s.hidden);
    a.dout = m->values(s.rows * s.hidden);
    a.lse = m->floats(s.rows * s.heads, 4, 5);
    auto* dqkv = static_cast<std::byte*>(m->values(s.rows * 3 * s.hidden));
    const size_t width = static_cast<size_t>(s.hidden) * size_of(dtype);
    a.dq = dqkv;
    a.dk = dqkv + width;
    a.dv = dqkv + 2 * width;
    return make_case(m, a, &KernelTable::attention_backward, attention_flops(s, 5));
}

// -------------------------------------------------------------------------------------------- embeddings and LayerNorm
/// Tables are counted by the rows that are read: one of `word` a token, position and type rows stay in the cache.
template <typename Embedding>
Embedding embedding_operands(const ModelShape& s, KernelMemory& m, DType dtype) {
    Embedding e{};
    const int64_t h = s.hidden;
    e.word = static_cast<float*>(m.scratch(s.vocabulary * h * 4));
    e.position = static_cast<float*>(m.scratch(s.positions * h * 4));
    e.type = m.floats(2 * h);
    e.gain = m.floats(h);
    m.count(static_cast<double>(s.rows * h * 4));
    e.ids = m.integers(s.rows, s.vocabulary);
    e.types = m.integers(s.rows, 2);
    e.mean = m.floats(s.rows);
    e.rstd = m.floats(s.rows);
    e.rows = s.rows;
    e.sequence = s.sequence;
    e.columns = h;
    e.dropout = m.dropout();
    e.dtype = dtype;
    return e;
}
KernelCase embedding_forward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    auto e = embedding_operands<EmbeddingForward>(s, *m, dtype);
    e.bias = m->floats(s.hidden);
    e.y = m->values(s.rows * s.hidden);
    e.epsilon = 1e-12f;
    return make_case(m, e, &KernelTable::embedding_forward);
}
KernelCase embedding_backward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    auto e = embedding_operands<EmbeddingBackward>(s, *m, dtype);
    const int64_t h = s.hidden;
    e.dy = m->values(s.rows * h);
    e.dword = static_cast<float*>(m->scratch(s.vocabulary * h * 4));
    m->count(2.0 * static_cast<double>(s.rows * h * 4));  // read and written
    e.dposition = m->floats(s.positions * h);
    e.dtype_table = m->floats(2 * h);
    e.dgain = m->floats(h);
    e.dbias = m->floats(h);
    e.scratch = m->scratch(embedding_backward_scratch_bytes(s.rows, h));
    e.positions = s.positions;
    e.type_count = 2;
    return make_case(m, e, &KernelTable::embedding_backward);
}
KernelCase layernorm_forward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows * s.hidden;
    const LayerNormForward l{.x = m->values(n),
                             .residual = m->values(n),
                             .gain = m->floats(s.hidden),
                             .bias = m->floats(s.hidden),
                             .z = m->values(n),
                             .y = m->values(n),
                             .mean = m->floats(s.rows),
                             .rstd = m->floats(s.rows),
                             .rows = s.rows,
                             .columns = s.hidden,
                             .rows_per_sequence = s.sequence,
                             .epsilon = 1e-12f,
                             .dropout = m->dropout(),
                             .dtype = dtype};
    return make_case(m, l, &KernelTable::layernorm_forward);
}
KernelCase layernorm_backward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows * s.hidden, h = s.hidden;
    const LayerNormBackward l{.dy = m->values(n),
                              .z = m->values(n),
                              .gain = m->floats(h),
                              .mean = m->floats(s.rows),
                              .rstd = m->floats(s.rows),
                              .dz = m->values(n),
                              .dx = m->values(n),
                              .dgain = m->floats(h),
                              .dbias = m->floats(h),
                              .dx_sum = m->floats(h),
                              .scratch = m->scratch(layernorm_backward_scratch_bytes(s.rows, h)),
                              .rows = s.rows,
                              .columns = h,
                              .rows_per_sequence = s.sequence,
                              .dropout = m->dropout(),
                              .dtype = dtype,
                              .accumulate = false};
    return make_case(m, l, &KernelTable::layernorm_backward);
}

// ----------------------------------------------------------------------------------------------------------- pointwise
KernelCase gelu_forward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype, Gelu form) {
    const int64_t n = s.rows * 4 * s.hidden;
    return make_case(m, GeluForward{.x = m->values(n), .y = m->values(n), .n = n, .form = form, .dtype = dtype},
                     &KernelTable::gelu_forward);
}
KernelCase gelu_backward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype, Gelu form) {
    const int64_t columns = 4 * s.hidden, n = s.rows * columns;
    const GeluBackward g{.dy = m->values(n),
                         .x = m->values(n),
                         .dx = m->values(n),
                         .y = m->values(n),
                         .dx_sum = m->floats(columns),
                         .scratch = m->scratch(column_sum_scratch_bytes(s.rows, columns)),
                         .rows = s.rows,
                         .columns = columns,
                         .form = form,
                         .dtype = dtype,
                         .accumulate = false};
    return make_case(m, g, &KernelTable::gelu_backward);
}
KernelCase tanh_forward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows / s.sequence * s.hidden;
    return make_case(m, TanhForward{.x = m->values(n), .y = m->values(n), .n = n, .dtype = dtype},
                     &KernelTable::tanh_forward);
}
KernelCase tanh_backward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t rows = s.rows / s.sequence, n = rows * s.hidden;
    const TanhBackward t{.dy = m->values(n),
                         .y = m->values(n),
                         .dx = m->values(n),
                         .dx_sum = m->floats(s.hidden),
                         .scratch = m->scratch(column_sum_scratch_bytes(rows, s.hidden)),
                         .rows = rows,
                         .columns = s.hidden,
                         .dtype = dtype,
                         .accumulate = false};
    return make_case(m, t, &KernelTable::tanh_backward);
}
KernelCase dropout(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows * s.hidden;
    const DropoutRows d{.x = m->values(n),
                        .y = m->values(n),
                        .rows = s.rows,
                        .columns = s.hidden,
                        .rows_per_sequence = s.sequence,
                        .dropout = m->dropout(),
                        .dtype = dtype};
    return make_case(m, d, &KernelTable::dropout);
}
KernelCase column_sum(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t columns = 3 * s.hidden;
    const ColumnSum c{.x = m->values(s.rows * columns),
                      .sum = m->floats(columns),
                      .scratch = m->scratch(column_sum_scratch_bytes(s.rows, columns)),
                      .rows = s.rows,
                      .columns = columns,
                      .stride = columns,
                      .dtype = dtype,
                      .accumulate = false};
    return make_case(m, c, &KernelTable::column_sum);
}

// ----------------------------------------------------------------------------------------------------------- optimizer
/// The word embeddings and the tensors of two layers.
std::vector<Segment> parameters(const ModelShape& s) {
    const int64_t h = s.hidden;
    std::vector<Segment> segments = {{.offset = 0, .size = s.vocabulary * h, .decay = true}};
    for (int layer = 0; layer < 2; ++layer) {
        for (const int64_t size : {3 * h * h, 3 * h, h * h, h, h, h, 4 * h * h, 4 * h, 4 * h * h, h, h, h}) {
            const Segment& last = segments.back();
            segments.push_back({.offset = last.offset + last.size, .size = size, .decay = size > 4 * h});
        }
    }
    return segments;
}
KernelCase global_norm(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const std::span<const Segment> segments = m->segments(parameters(s));
    const GlobalNorm n{.gradients = m->floats(segments.back().offset + segments.back().size),
                       .segments = segments,
                       .norm = m->floats(1),
                       .scratch = m->scratch(global_norm_scratch_bytes(segments))};
    return make_case(m, n, &KernelTable::global_norm);
}
KernelCase update(const ModelShape& s, const KernelMemoryPtr& m, void (*KernelTable::*entry)(const Update&, Context&)) {
    const std::span<const Segment> segments = m->segments(parameters(s));
    const int64_t n = segments.back().offset + segments.back().size;
    const UpdateScalars scalars{.learning_rate = 1e-4f,
                                .weight_decay = 0.01f,
                                .beta1 = 0.9f,
                                .beta2 = 0.999f,
                                .epsilon = 1e-6f,
                                .correction1 = 0.1f,
                                .correction2 = 0.001f,
                                .clip = 1};
    const Update u{.parameters = m->floats(n),
                   .gradients = m->floats(n),
                   .moment1 = m->floats(n),
                   .moment2 = m->floats(n, 0, 1),
                   .copy = m->scratch(2 * n),
                   .copy_dtype = DType::bf16,
                   .norm = m->floats(1, 1, 2),
                   .scalars = m->stored<UpdateScalars>({&scalars, 1}),
                   .segments = segments,
                   .scratch = m->scratch(lamb_scratch_bytes(segments))};
    m->count(static_cast<double>(n) * (3 * 4 + 2));  // all but the gradients are written too
    return make_case(m, u, entry);
}
KernelCase cast(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const int64_t n = s.vocabulary * s.hidden;
    const Cast c{
        .from = m->floats(n), .to = m->scratch(2 * n), .n = n, .from_dtype = DType::f32, .to_dtype = DType::bf16};
    m->count(2 * static_cast<double>(n));
    return make_case(m, c, &KernelTable::cast);
}

}  // namespace

std::vector<KernelCaseMaker> kernel_cases(const ModelShape& shape, DType dtype) {
    std::vector<KernelCaseMaker> cases;
    const auto add = [&](const std::string& name, auto build) {
        cases.push_back(
            {name, [=](Context& context) { return build(std::make_shared<KernelMemory>(dtype, context)); }});
    };
    const auto add_of_shape = [&](const std::string& name, CaseOfShape build) {
        cases.push_back(case_of_shape(name, shape, dtype, build));
    };
    const auto add_gemm = [&](const std::string& name, DType out, int64_t rows, int64_t columns, int64_t depth,
                              bool transpose_a, bool transpose_b) {
        add(name, [=](const KernelMemoryPtr& m) {
            return gemm(m, gemm_operands(*m, dtype, out, rows, columns, depth, transpose_a, transpose_b));
        });
    };
    const int64_t t = shape.rows, h = shape.hidden;
    add_gemm("gemm forward", dtype, t, 4 * h, h, false, false);
    add_gemm("gemm dx", dtype, t, h, 4 * h, false, true);
    add_gemm("gemm dw", DType::f32, h, 4 * h, t, true, false);
    add_of_shape("gemm dw sums", gemm_sums);
    add_of_shape("attention_forward", attention_forward);
    add_of_shape("attention_backward", attention_backward);
    add_of_shape("embedding_forward", embedding_forward);
    add_of_shape("embedding_backward", embedding_backward);
    add_of_shape("layernorm_forward", layernorm_forward);
    add_of_shape("layernorm_backward", layernorm_backward);
    for (const Gelu form : {Gelu::erf, Gelu::tanh}) {
        const std::string suffix = form == Gelu::erf ? " erf" : " tanh";
        add("gemm gelu" + suffix, [=](const KernelMemoryPtr& m) { return gemm_gelu(shape, m, dtype, form, false); });
        add("gemm slope" + suffix, [=](const KernelMemoryPtr& m) { return gemm_gelu(shape, m, dtype, form, true); });
        add("gelu_forward" + suffix, [=](const KernelMemoryPtr& m) { return gelu_forward(shape, m, dtype, form); });
        add("gelu_backward" + suffix, [=](const KernelMemoryPtr& m) { return gelu_backward(shape, m, dtype, form); });
    }
    add_of_shape("tanh_forward", tanh_forward);
    add_of_shape("tanh_backward", tanh_backward);
    add_of_shape("dropout", dropout);
    add_of_shape("column_sum", column_sum);
    std::ranges::move(loss_cases(shape, dtype), std::back_inserter(cases));
    std::ranges::move(dropping_cases(shape, dtype), std::back_inserter(cases));
    if (dtype != DType::f32) return cases;
    add_of_shape("global_norm", global_norm);  // the rest is f32 whatever the storage
    add("adamw", [=](const KernelMemoryPtr& m) { return update(shape, m, &KernelTable::adamw); });
    add("lamb", [=](const KernelMemoryPtr& m) { return update(shape, m, &KernelTable::lamb); });
    add_of_shape("cast", cast);
    return cases;
}

}  // namespace dropforge
