#include "engine/ops.h"

#include "engine/op_shapes.h"

namespace dropforge::ops {

namespace {

struct GemmSizes {
    int64_t m, n, k;
};

GemmSizes sizes_of(const GemmArguments& g) {
    return {
        .m = rows(g.c), .n = g.transpose_b ? rows(g.b) : columns(g.b), .k = g.transpose_b ? columns(g.b) : rows(g.b)};
}

void check_gemm(const std::string& name, const GemmArguments& g) {
    check_float(name, "a", g.a);
    check_given(name, "b", g.b);
    check_given(name, "c", g.c);
    const auto [m, n, k] = sizes_of(g);
    const int64_t a_outer = g.transpose_a ? k : m, a_inner = g.transpose_a ? m : k;
    require(rows(g.a) == a_outer && columns(g.a) >= a_inner && columns(g.c) >= n && g.a.dtype == g.b.dtype,
            "{}: cannot multiply {}{} by {}{} into {}", name, g.a.shape.text(), g.transpose_a ? "ᵀ" : "",
            g.b.shape.text(), g.transpose_b ? "ᵀ" : "", g.c.shape.text());
    require(g.c.dtype == g.a.dtype || g.c.dtype == DType::f32, "{}: c must be {} as a and b, or f32, not {}", name,
            name_of(g.a.dtype), name_of(g.c.dtype));
    require(!g.bias || (g.bias.dtype == DType::f32 && g.bias.shape.size() >= n), "{}: bias must be f32 [{}], not {} {}",
            name, n, name_of(g.bias.dtype), g.bias.shape.text());
    check_optional_vector(name, "bias_gradient", g.bias_gradient, DType::f32, m);
    require(!g.bias_gradient || g.transpose_a, "{}: bias_gradient needs a transposed a, whose column sums it is", name);
    const GemmGelu& gelu = g.gelu;
    if (!gelu.output && !gelu.input) return;
    require(!(gelu.output && gelu.input) && !g.accumulate && !g.bias_gradient && g.c.dtype == g.a.dtype &&
                columns(g.c) == n,
            "{}: GELU as an epilogue needs c of the operands' type, without padding, accumulation or bias gradient",
            name);
    check_like(name, "gelu", gelu.output ? gelu.output : gelu.input, g.c);
}

}  // namespace

void gemm(Program& program, const std::string& name, const GemmArguments& g) {
    check_gemm(name, g);
    const GemmSizes s = sizes_of(g);
    const auto [m, n, k] = s;
    const Tensor scratch =
        g.bias_gradient ? program.scratch(name + ".scratch", kernels::column_sum_scratch_bytes(k, m)) : Tensor{};
    Access access{.reads = {g.a, g.b, g.bias, g.gelu.input},
                  .writes = {g.c, g.gelu.output, g.bias_gradient, scratch},
                  .flops = g.flops > 0 ? g.flops : 2.0 * static_cast<double>(m) * static_cast<double>(n * k),
                  .work = {.kind = Work::Kind::gemm,
                           .count = 1,
                           .m = m,
                           .n = n,
                           .k = k,
                           .extra_read = g.gelu.input ? 1 : 0,
                           .extra_written = g.gelu.output ? 1 : 0}};
    if (g.accumulate) access.reads.insert(access.reads.end(), {g.c, g.bias_gradient});
    program.add(name, access, [=](const Run& r) {
        r.kernels.gemm({.a = r.at(g.a),
                        .b = r.at(g.b),
                        .c = r.at(g.c),
                        .bias = r.at<float>(g.bias),
                        .m = s.m,
                        .n = s.n,
                        .k = s.k,
                        .lda = columns(g.a),
                        .ldb = columns(g.b),
                        .ldc = columns(g.c),
                        .transpose_a = g.transpose_a,
                        .transpose_b = g.transpose_b,
                        .accumulate = g.accumulate,
                        .dtype = g.a.dtype,
                        .out = g.c.dtype,
                        .bias_gradient = r.at<float>(g.bias_gradient),
                        .scratch = r.at(scratch),
                        .gelu = {.form = g.gelu.form, .output = r.at(g.gelu.output), .input = r.at(g.gelu.input)}},
                       r.context);
    });
}

namespace {

/// Checks the tensors that LayerNorm forward and backward share.
void check_layernorm(const std::string& name, const LayerNorm& l) {
    const int64_t t = rows(l.x), h = columns(l.x);
    check_float(name, "x", l.x);
    check_optional_like(name, "residual", l.residual, l.x);
    check_optional_like(name, "z", l.z, l.x);
    require(l.z || (!l.residual && !l.dropout.active()), "{}: z must be given where there is a residual or dropout",
            name);
    check_like(name, "y", l.y, l.x);
    check_vector(name, "gain", l.gain, DType::f32, h);
    check_vector(name, "bias", l.bias, DType::f32, h);
    check_vector(name, "mean", l.mean, DType::f32, t);
    check_vector(name, "rstd", l.rstd, DType::f32, t);
    check_dropout_rows(name, l.dropout, t, l.rows_per_sequence);
}

}  // namespace

void layernorm_forward(Program& program, const std::string& name, const LayerNorm& l) {
    check_layernorm(name, l);
    Access access{.reads = {l.x, l.residual, l.gain, l.bias, l.dropout.state}, .writes = {l.z, l.y, l.mean, l.rstd}};
    if (l.z) access.inplace.emplace_back(l.z, l.x);
    program.add(name, access, [=](const Run& r) {
        r.kernels.layernorm_forward({.x = r.at(l.x),
                                     .residual = r.at(l.residual),
                                     .gain = r.at<float>(l.gain),
                                     .bias = r.at<float>(l.bias),
                                     .z = r.at(l.z),
                                     .y = r.at(l.y),
                                     .mean = r.at<float>(l.mean),
                                     .rstd = r.at<float>(l.rstd),
                                     .rows = rows(l.x),
                                     .columns = columns(l.x),
                                     .rows_per_sequence = l.rows_per_sequence,
                                     .epsilon = l.epsilon,
                                     .dropout = l.dropout.at(r),
                                     .dtype = l.x.dtype},
                                    r.context);
    });
}

void layernorm_backward(Program& program, const std::string& name, const LayerNorm& l, const LayerNormGradients& g) {
    const int64_t t = rows(l.x), h = columns(l.x);
    check_layernorm(name, l);
    check_like(name, "dy", g.dy, l.x);
    check_like(name, "dz", g.dz, l.x);
    require(!l.dropout.active() || g.dx, "{}: with dropout, dx needs memory of its own", name);
    check_optional_like(name, "dx", g.dx, l.x);
    check_vector(name, "dgain", g.dgain, DType::f32, h);
    check_vector(name, "dbias", g.dbias, DType::f32, h);
    check_optional_vector(name, "dx_sum", g.dx_sum, DType::f32, h);
    const Tensor z = l.z ? l.z : l.x;
    const Tensor scratch = program.scratch(name + ".scratch", kernels::layernorm_backward_scratch_bytes(t, h));
    Access access{.reads = {g.dy, z, l.gain, l.mean, l.rstd, l.dropout.state},
                  .writes = {g.dz, g.dx, g.dgain, g.dbias, g.dx_sum, scratch},
                  .inplace = {{g.dz, g.dy}}};
    if (g.accumulate) access.reads.insert(access.reads.end(), {g.dgain, g.dbias, g.dx_sum});
    program.add(name, access, [=](const Run& r) {
        r.kernels.layernorm_backward({.dy = r.at(g.dy),
                                      .z = r.at(z),
                                      .gain = r.at<float>(l.gain),
                                      .mean = r.at<float>(l.mean),
                                      .rstd = r.at<float>(l.rstd),
                                      .dz = r.at(g.dz),
                                      .dx = r.at(g.dx),
                                      .dgain = r.at<float>(g.dgain),
                                      .dbias = r.at<float>(g.dbias),
                                      .dx_sum = r.at<float>(g.dx_sum),
                                      .scratch = r.at(scratch),
                                      .rows = t,
                                      .columns = h,
                                      .rows_per_sequence = l.rows_per_sequence,
                                      .dropout = l.dropout.at(r),
                                      .dtype = g.dy.dtype,
                                      .accumulate = g.accumulate},
                                     r.context);
    });
}

void gelu_forward(Program& program, const std::string& name, Tensor x, Tensor y, kernels::Gelu form) {
    check_float(name, "x", x);
    check_like(name, "y", y, x);
    program.add(name, {.reads = {x}, .writes = {y}}, [=](const Run& r) {
        r.kernels.gelu_forward({.x = r.at(x), .y = r.at(y), .n = x.shape.size(), .form = form, .dtype = x.dtype},
                               r.context);
    });
}

void gelu_backward(Program& program, const std::string& name, Tensor dy, Tensor x, Tensor dx, Tensor dx_sum, Tensor y,
                   kernels::Gelu form, bool accumulate) {
    check_float(name, "x", x);
    check_like(name, "dy", dy, x);
    check_like(name, "dx", dx, x);
    check_vector(name, "dx_sum", dx_sum, DType::f32, columns(x));
    check_optional_like(name, "y", y, x);
    const Tensor scratch = program.scratch(name + ".scratch", kernels::column_sum_scratch_bytes(rows(x), columns(x)));
    Access access{.reads = {dy, x}, .writes = {dx, dx_sum, y, scratch}, .inplace = {{dx, dy}, {y, x}}};
    if (accumulate) access.reads.push_back(dx_sum);
    program.add(name, access, [=](const Run& r) {
        r.kernels.gelu_backward({.dy = r.at(dy),
                                 .x = r.at(x),
                                 .dx = r.at(dx),
                                 .y = r.at(y),
                                 .dx_sum = r.at<float>(dx_sum),
                                 .scratch = r.at(scratch),
                                 .rows = rows(x),
                                 .columns = columns(x),
                                 .form = form,
                                 .dtype = x.dtype,
                                 .accumulate = accumulate},
                                r.context);
    });
}

void tanh_forward(Program& program, const std::string& name, Tensor x, Tensor y) {
    check_float(name, "x", x);
    check_like(name, "y", y, x);
    program.add(name, {.reads = {x}, .writes = {y}, .inplace = {{y, x}}}, [=](const Run& r) {
        r.kernels.tanh_forward({.x = r.at(x), .y = r.at(y), .n = x.shape.size(), .dtype = x.dtype}, r.context);
    });
}

void tanh_backward(Program& program, const std::string& name, Tensor dy, Tensor y, Tensor dx, Tensor dx_sum,
                   bool accumulate) {
    check_float(name, "y", y);
    check_like(name, "dy", dy, y);
    check_like(name, "dx", dx, y);
    check_vector(name, "dx_sum", dx_sum, DType::f32, columns(y));
    const Tensor scratch = program.scratch(name + ".scratch", kernels::column_sum_scratch_bytes(rows(y), columns(y)));
    Access access{.reads = {dy, y}, .writes = {dx, dx_sum, scratch}, .inplace = {{dx, dy}}};
    if (accumulate) access.reads.push_back(dx_sum);
    program.add(name, access, [=](const Run& r) {
        r.kernels.tanh_backward({.dy = r.at(dy),
                                 .y = r.at(y),
                                 .dx = r.at(dx),
                                 .dx_sum = r.at<float>(dx_sum),
                                 .scratch = r.at(scratch),
                                 .rows = rows(y),
                                 .columns = columns(y),
                                 .dtype = y.dtype,
                                 .accumulate = accumulate},
                                r.context);
    });
}

void dropout(Program& program, const std::string& name, Tensor x, Tensor y, int64_t rows_per_sequence,
             const DropoutSite& site) {
    check_float(name, "x", x);
    check_like(name, "y", y, x);
    check_dropout_rows(name, site, rows(x), rows_per_sequence);
    program.add(name, {.reads = {x, site.state}, .writes = {y}, .inplace = {{y, x}}}, [=](const Run& r) {
        r.kernels.dropout({.x = r.at(x),
                           .y = r.at(y),
                           .rows = rows(x),
                           .columns = columns(x),
                           .rows_per_sequence = rows_per_sequence,
                           .dropout = site.at(r),
                           .dtype = x.dtype},
                          r.context);
    });
}

void cast(Program& program, const std::string& name, Tensor from, Tensor to) {
    check_float(name, "from", from);
    check_float(name, "to", to);
    same_shape(name, from, to);
    program.add(name, {.reads = {from}, .writes = {to}}, [=](const Run& r) {
        r.kernels.cast({.from = r.at(from),
                        .to = r.at(to),
                        .n = from.shape.size(),
                        .from_dtype = from.dtype,
                        .to_dtype = to.dtype},
                       r.context);
    });
}

void clear(Program& program, const std::string& name, Tensor to) {
    check_given(name, "tensor", to);
    program.add(name, {.reads = {}, .writes = {to}},
                [=](const Run& r) { r.kernels.clear({.to = r.at(to), .bytes = to.bytes()}, r.context); });
}

void add(Program& program, const std::string& name, Tensor to, Tensor x) {
    check_float(name, "to", to);
    check_like(name, "x", x, to);
    program.add(name, {.reads = {to, x}, .writes = {to}}, [=](const Run& r) {
        r.kernels.add({.to = r.at(to), .x = r.at(x), .n = to.shape.size(), .dtype = to.dtype}, r.context);
    });
}

}  // namespace dropforge::ops
