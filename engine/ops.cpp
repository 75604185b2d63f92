#include "engine/ops.h"

#include <cmath>

#include "engine/op_shapes.h"

namespace dropforge::ops {

namespace {

/// What GELU beside a product touches.
void add_gelu(Access& access, const std::string& name, const GemmArguments& g) {
    const GemmGelu& gelu = g.gelu;
    require(!(gelu.output && gelu.input) && !g.accumulate && !g.a_sums && g.c.dtype == g.a.dtype &&
                columns(g.c) == access.work.n,
            "{}: GELU is beside a product of its operands' type, without padding, that is added to nothing", name);
    same_shape(name, gelu.output ? gelu.output : gelu.input, g.c);
    access.reads.push_back(gelu.input);
    access.writes.push_back(gelu.output);
    (gelu.input ? access.work.read_beside : access.work.written_beside) = 1;
}

}  // namespace

void gemm(Program& program, const std::string& name, const GemmArguments& g) {
    const int64_t m = rows(g.c);
    const int64_t n = g.transpose_b ? rows(g.b) : columns(g.b), k = g.transpose_b ? columns(g.b) : rows(g.b);
    const int64_t a_outer = g.transpose_a ? k : m, a_inner = g.transpose_a ? m : k;
    require(rows(g.a) == a_outer && columns(g.a) >= a_inner && columns(g.c) >= n && g.a.dtype == g.b.dtype,
            "{}: cannot multiply {}{} by {}{} into {}", name, g.a.shape.text(), g.transpose_a ? "ᵀ" : "",
            g.b.shape.text(), g.transpose_b ? "ᵀ" : "", g.c.shape.text());
    require(!g.bias || g.bias.shape.size() >= n, "{}: a bias of {} values for {} columns", name, g.bias.shape.size(),
            n);
    Access access{.reads = {g.a, g.b, g.bias}, .writes = {g.c}, .work = {Work::Kind::gemm, 1, m, n, k}};
    access.flops =
        g.flops > 0 ? g.flops : 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    if (g.accumulate) access.reads.push_back(g.c);
    if (g.gelu.output || g.gelu.input) add_gelu(access, name, g);
    Tensor scratch;
    if (g.a_sums) {
        require(g.transpose_a && g.a_sums.shape.size() == m, "{}: {} sums of a matrix {}{}", name,
                g.a_sums.shape.size(), g.a.shape.text(), g.transpose_a ? "ᵀ" : "");
        scratch = program.scratch(name + ".scratch", kernels::column_sum_scratch_bytes(k, m));
        access.writes.insert(access.writes.end(), {g.a_sums, scratch});
        if (g.accumulate) access.reads.push_back(g.a_sums);
    }
    program.add(name, access, [=](const Run& r) {
        r.kernels.gemm({r.at(g.a),
                        r.at(g.b),
                        r.at(g.c),
                        r.at<float>(g.bias),
                        m,
                        n,
                        k,
                        columns(g.a),
                        columns(g.b),
                        columns(g.c),
                        g.transpose_a,
                        g.transpose_b,
                        g.accumulate,
                        g.a.dtype,
                        g.c.dtype,
                        r.at<float>(g.a_sums),
                        r.at(scratch),
                        {g.gelu.form, r.at(g.gelu.output), r.at(g.gelu.input)}},
                       r.context);
    });
}

void layernorm_forward(Program& program, const std::string& name, const LayerNorm& l) {
    same_shape(name, l.x, l.y);
    Access access{.reads = {l.x, l.residual, l.gain, l.bias, l.dropout.state}, .writes = {l.z, l.y, l.mean, l.rstd}};
    if (l.z) access.inplace.emplace_back(l.z, l.x);
    program.add(name, access, [=](const Run& r) {
        r.kernels.layernorm_forward({r.at(l.x), r.at(l.residual), r.at<float>(l.gain), r.at<float>(l.bias), r.at(l.z),
                                     r.at(l.y), r.at<float>(l.mean), r.at<float>(l.rstd), rows(l.x), columns(l.x),
                                     l.rows_per_sequence, l.epsilon, l.dropout.at(r), l.x.dtype},
                                    r.context);
    });
}

void layernorm_backward(Program& program, const std::string& name, const LayerNorm& l, const LayerNormGradients& g) {
    const int64_t t = rows(g.dy), h = columns(g.dy);
    require(!l.dropout.active() || g.dx, "{}: with dropout, dx needs memory of its own", name);
    const Tensor z = l.z ? l.z : l.x;
    const Tensor scratch = program.scratch(name + ".scratch", kernels::layernorm_backward_scratch_bytes(t, h));
    Access access{.reads = {g.dy, z, l.gain, l.mean, l.rstd, l.dropout.state},
                  .writes = {g.dz, g.dx, g.dgain, g.dbias, g.dx_sum, scratch},
                  .inplace = {{g.dz, g.dy}}};
    if (g.accumulate) access.reads.insert(access.reads.end(), {g.dgain, g.dbias, g.dx_sum});
    program.add(name, access, [=](const Run& r) {
        r.kernels.layernorm_backward(
            {r.at(g.dy), r.at(z), r.at<float>(l.gain), r.at<float>(l.mean), r.at<float>(l.rstd), r.at(g.dz), r.at(g.dx),
             r.at<float>(g.dgain), r.at<float>(g.dbias), r.at<float>(g.dx_sum), r.at(scratch), t, h,
             l.rows_per_sequence, l.dropout.at(r), g.dy.dtype, g.accumulate},
            r.context);
    });
}

namespace {

double attention_flops(const Attention& a) {  // of the forward pass: two products
    return 4.0 * static_cast<double>(a.batch * a.rows_q) * static_cast<double>(a.rows_kv * a.heads * a.head_size);
}

Work attention_work(const Attention& a, Work::Kind kind) {
    return {kind, a.batch * a.heads, a.rows_q, a.rows_kv, a.head_size};
}

float attention_scale(const Attention& a) { return 1.0f / std::sqrt(static_cast<float>(a.head_size)); }

int64_t attention_scratch(const Attention& a) {
    return kernels::attention_scratch_bytes(a.batch, a.heads, a.head_size, a.rows_q, a.rows_kv);
}

}  // namespace

void attention_forward(Program& program, const std::string& name, const Attention& a) {
    const Tensor scratch = program.scratch(name + ".scratch", attention_scratch(a));
    const Access access{.reads = {a.q, a.k, a.v, a.lengths, a.dropout.state},
                        .writes = {a.out, a.lse, scratch},
                        .flops = attention_flops(a),
                        .work = attention_work(a, Work::Kind::attention_forward)};
    program.add(name, access, [=](const Run& r) {
        r.kernels.attention_forward(
            {r.at(a.q), r.at(a.k), r.at(a.v), r.at<int32_t>(a.lengths), r.at(a.out), r.at<float>(a.lse), r.at(scratch),
             a.batch, a.heads, a.head_size, a.rows_q, a.rows_kv, a.stride_q, a.stride_kv, columns(a.out),
             attention_scale(a), a.dropout.at(r), a.out.dtype},
            r.context);
    });
}

void attention_backward(Program& program, const std::string& name, const Attention& a, const AttentionGradients& g) {
    same_shape(name, a.out, g.dout);
    const Tensor scratch = program.scratch(name + ".scratch", attention_scratch(a));
    const Access access{.reads = {a.q, a.k, a.v, a.out, g.dout, a.lengths, a.lse, a.dropout.state},
                        .writes = {g.dq, g.dk, g.dv, scratch},
                        .flops = 2 * attention_flops(a),
                        .work = attention_work(a, Work::Kind::attention_backward)};
    program.add(name, access, [=](const Run& r) {
        r.kernels.attention_backward({r.at(a.q),
                                      r.at(a.k),
                                      r.at(a.v),
                                      r.at(a.out),
                                      r.at(g.dout),
                                      r.at<int32_t>(a.lengths),
                                      r.at<float>(a.lse),
                                      r.at(g.dq),
                                      r.at(g.dk),
                                      r.at(g.dv),
                                      r.at(scratch),
                                      a.batch,
                                      a.heads,
                                      a.head_size,
                                      a.rows_q,
                                      a.rows_kv,
                                      a.stride_q,
                                      a.stride_kv,
                                      columns(a.out),
                                      attention_scale(a),
                                      a.dropout.at(r),
                                      a.out.dtype},
                                     r.context);
    });
}

void gelu_forward(Program& program, const std::string& name, Tensor x, Tensor y, kernels::Gelu form) {
    same_shape(name, x, y);
    program.add(name, {.reads = {x}, .writes = {y}}, [=](const Run& r) {
        r.kernels.gelu_forward({r.at(x), r.at(y), x.shape.size(), form, x.dtype}, r.context);
    });
}

void gelu_backward(Program& program, const std::string& name, Tensor dy, Tensor x, Tensor dx, Tensor dx_sum, Tensor y,
                   kernels::Gelu form, bool accumulate) {
    same_shape(name, dy, x);
    const Tensor scratch = program.scratch(name + ".scratch", kernels::column_sum_scratch_bytes(rows(x), columns(x)));
    Access access{.reads = {dy, x}, .writes = {dx, dx_sum, y, scratch}, .inplace = {{dx, dy}, {y, x}}};
    if (accumulate) access.reads.push_back(dx_sum);
    program.add(name, access, [=](const Run& r) {
        r.kernels.gelu_backward({r.at(dy), r.at(x), r.at(dx), r.at(y), r.at<float>(dx_sum), r.at(scratch), rows(x),
                                 columns(x), form, x.dtype, accumulate},
                                r.context);
    });
}

void tanh_forward(Program& program, const std::string& name, Tensor x, Tensor y) {
    same_shape(name, x, y);
    program.add(name, {.reads = {x}, .writes = {y}, .inplace = {{y, x}}}, [=](const Run& r) {
        r.kernels.tanh_forward({r.at(x), r.at(y), x.shape.size(), x.dtype}, r.context);
    });
}

void tanh_backward(Program& program, const std::string& name, Tensor dy, Tensor y, Tensor dx, Tensor dx_sum,
                   bool accumulate) {
    same_shape(name, dy, y);
    const Tensor scratch = program.scratch(name + ".scratch", kernels::column_sum_scratch_bytes(rows(y), columns(y)));
    Access access{.reads = {dy, y}, .writes = {dx, dx_sum, scratch}, .inplace = {{dx, dy}}};
    if (accumulate) access.reads.push_back(dx_sum);
    program.add(name, access, [=](const Run& r) {
        r.kernels.tanh_backward(
            {r.at(dy), r.at(y), r.at(dx), r.at<float>(dx_sum), r.at(scratch), rows(y), columns(y), y.dtype, accumulate},
            r.context);
    });
}

void gather_rows(Program& program, const std::string& name, Tensor from, Tensor index, Tensor to) {
    const int64_t per = per_sequence(name, from, index, to);
    program.add(name, {.reads = {from, index}, .writes = {to}}, [=](const Run& r) {
        r.kernels.gather_rows(
            {r.at(from), r.at<int32_t>(index), r.at(to), rows(index), columns(index), per, columns(from), from.dtype},
            r.context);
    });
}

void scatter_rows(Program& program, const std::string& name, Tensor from, Tensor index, Tensor to, Scatter mode) {
    const int64_t per = per_sequence(name, to, index, from);
    Access access{.reads = {from, index}, .writes = {to}};
    if (mode != Scatter::clear_and_accumulate) access.reads.push_back(to);
    program.add(name, access, [=](const Run& r) {
        r.kernels.scatter_rows(
            {r.at(from), r.at<int32_t>(index), r.at(to), rows(index), columns(index), per, columns(from), from.dtype,
             mode != Scatter::replace, mode == Scatter::clear_and_accumulate},
            r.context);
    });
}

void merge_rows(Program& program, const std::string& name, Tensor picked, Tensor index, Tensor rest, Tensor all) {
    const int64_t per = per_sequence(name, all, index, picked);
    same_shape(name, rest, all);
    same_type(name, picked, all);
    const Access access{.reads = {picked, index, rest}, .writes = {all}, .inplace = {{all, rest}}};
    program.add(name, access, [=](const Run& r) {
        r.kernels.merge_rows({r.at(picked), r.at<int32_t>(index), r.at(rest), r.at(all), rows(index), columns(index),
                              per, columns(all), all.dtype},
                             r.context);
    });
}

void split_rows(Program& program, const std::string& name, Tensor all, Tensor index, Tensor picked, Tensor rest,
                bool accumulate) {
    const int64_t per = per_sequence(name, all, index, picked);
    same_shape(name, rest, all);
    same_type(name, picked, all);
    require(!accumulate || rest.storage != all.storage || rest.offset != all.offset,
            "{}: cannot add rows to themselves", name);
    Access access{.reads = {all, index}, .writes = {picked, rest}};
    if (accumulate)
        access.reads.push_back(rest);
    else
        access.inplace.emplace_back(rest, all);
    program.add(name, access, [=](const Run& r) {
        r.kernels.split_rows({r.at(all), r.at<int32_t>(index), r.at(picked), r.at(rest), rows(index), columns(index),
                              per, columns(all), all.dtype, accumulate},
                             r.context);
    });
}

void cross_entropy(Program& program, const std::string& name, const CrossEntropy& c) {
    Access access{.reads = {c.logits, c.labels, c.weights, c.gradient_scale, c.loss_scale},
                  .writes = {c.loss, c.correct}};
    if (c.gradient_scale) access.writes.push_back(c.logits);
    program.add(name, access, [=](const Run& r) {
        r.kernels.cross_entropy({r.at(c.logits), r.at<int32_t>(c.labels), r.at<float>(c.weights),
                                 r.at<float>(c.gradient_scale), r.at<float>(c.loss_scale), r.at<float>(c.loss),
                                 r.at<float>(c.correct), rows(c.logits), c.columns, columns(c.logits), c.logits.dtype},
                                r.context);
    });
    Access sums{.reads = {c.loss, c.weights, c.correct}, .writes = {c.totals}};
    if (c.accumulate) sums.reads.push_back(c.totals);
    program.add(name + ".totals", sums, [=](const Run& r) {
        r.kernels.loss_totals({r.at<float>(c.loss), r.at<float>(c.weights), r.at<float>(c.correct),
                               r.at<float>(c.totals), rows(c.logits), c.accumulate},
                              r.context);
    });
}

void cast(Program& program, const std::string& name, Tensor from, Tensor to) {
    same_shape(name, from, to);
    program.add(name, {.reads = {from}, .writes = {to}}, [=](const Run& r) {
        r.kernels.cast({r.at(from), r.at(to), from.shape.size(), from.dtype, to.dtype}, r.context);
    });
}

void clear(Program& program, const std::string& name, Tensor to) {
    program.add(name, {.reads = {}, .writes = {to}}, [=](const Run& r) {
        r.kernels.clear({r.at(to), to.bytes()}, r.context);
    });
}

void add(Program& program, const std::string& name, Tensor to, Tensor x) {
    same_shape(name, to, x);
    same_type(name, to, x);
    program.add(name, {.reads = {to, x}, .writes = {to}}, [=](const Run& r) {
        r.kernels.add({r.at(to), r.at(x), to.shape.size(), to.dtype}, r.context);
    });
}

}  // namespace dropforge::ops
