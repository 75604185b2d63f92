#include "model/network/encoder_layer.h"

namespace dropforge {

namespace {

const Parameters::Layer& parameters_of(const Builder& builder, int64_t index) {
    return builder.parameters.layers[static_cast<size_t>(index)];
}

std::string scope_name(int64_t index) { return "layer" + std::to_string(index); }

/// Rows first … first+n-1 of a fused linear parameter [3h,h]: the query part, or key and value.
Tensor weight_rows(Tensor weight, int64_t first, int64_t n) {
    const int64_t h = weight.shape[1];
    return weight.view(first * h, {n, h});
}

/// The n-th block of h columns of x [T, blocks*h]; its row stride stays blocks*h.
Tensor column_block(Tensor x, int64_t n, int64_t h) { return x.view(n * h, {x.shape[0], h}); }

/// q, k, v from one GEMM over x, or queries from xq and keys, values from x.
void project_qkv(Builder& builder, EncoderLayer& l) {
    const int64_t h = builder.config.hidden, t = l.x.shape[0];
    const Parameters::Linear& p = parameters_of(builder, l.index).qkv;
    ops::Attention& a = l.attention;
    if (!l.queries) {
        l.qkv = builder.linear("qkv", l.x, p);
        a.q = column_block(l.qkv, 0, h);
        a.k = column_block(l.qkv, 1, h);
        a.v = column_block(l.qkv, 2, h);
        a.stride_q = a.stride_kv = 3 * h;
        return;
    }
    const Tensor weight = builder.weight(p.weight), bias = builder.master(p.bias);
    l.q = builder.activation("q", {l.xq.shape[0], h});
    ops::gemm(builder.program, "q",
              {.a = l.xq, .b = weight_rows(weight, 0, h), .c = l.q, .bias = bias.view(0, {h}), .transpose_b = true});
    l.qkv = builder.activation("kv", {t, 2 * h});
    ops::gemm(
        builder.program, "kv",
        {.a = l.x, .b = weight_rows(weight, h, 2 * h), .c = l.qkv, .bias = bias.view(h, {2 * h}), .transpose_b = true});
    a.q = l.q;
    a.k = column_block(l.qkv, 0, h);
    a.v = column_block(l.qkv, 1, h);
    a.stride_q = h;
    a.stride_kv = 2 * h;
}

void attend(Builder& builder, EncoderLayer& l, Tensor lengths) {
    const BertConfig& c = builder.config;
    ops::Attention& a = l.attention;
    a.batch = builder.options.batch;
    a.heads = c.heads;
    a.head_size = c.head_size();
    a.rows_q = l.xq.shape[0] / a.batch;
    a.rows_kv = l.x.shape[0] / a.batch;
    a.lengths = lengths;
    a.dropout = builder.attention_dropout(attention_site(l.index));
    a.out = builder.activation("attention", {l.xq.shape[0], c.hidden});
    a.lse = builder.program.planned("lse", DType::f32, {a.batch, a.heads, a.rows_q});
    ops::attention_forward(builder.program, "attention", a);
}

/// y = LayerNorm(dropout(x) + residual) under the given name.
ops::LayerNorm residual_norm(Builder& builder, const std::string& name, Tensor x, Tensor residual,
                             const Parameters::Norm& p, uint32_t site) {
    const int64_t t = x.shape[0];
    ops::LayerNorm n{.x = x,
                     .residual = residual,
                     .gain = builder.master(p.gain),
                     .bias = builder.master(p.bias),
                     .z = builder.activation(name + ".sum", x.shape),
                     .y = builder.activation(name, x.shape),
                     .mean = builder.program.planned(name + ".mean", DType::f32, {t}),
                     .rstd = builder.program.planned(name + ".rstd", DType::f32, {t}),
                     .rows_per_sequence = t / builder.options.batch,
                     .epsilon = builder.config.epsilon,
                     .dropout = builder.hidden_dropout(site)};
    ops::layernorm_forward(builder.program, name, n);
    return n;
}

struct ResidualGradients {
    Tensor residual, branch;  // at the residual, at the branch's linear output
};

/// `bias`: of the linear layer that feeds the branch.
ResidualGradients residual_norm_backward(Builder& builder, const std::string& name, const ops::LayerNorm& n, Tensor dy,
                                         const Parameters::Norm& p, Parameters::Index bias) {
    const Tensor dz = builder.activation(name + ".residual_gradient", dy.shape);
    const Tensor dx = n.dropout.active() ? builder.activation(name + ".branch_gradient", dy.shape) : Tensor{};
    ops::layernorm_backward(builder.program, name + ".backward", n,
                            {.dy = dy,
                             .dz = dz,
                             .dx = dx,
                             .dgain = builder.gradient(p.gain),
                             .dbias = builder.gradient(p.bias),
                             .dx_sum = builder.gradient(bias),
                             .accumulate = builder.record_write(p.gain)});
    return {dz, dx ? dx : dz};
}

/// u = fc1 of the attention block's output, and gelu(u), which is returned: in one where it is kept for backward, since
/// then it need not have the bits that backward would make again from u as it was rounded.
Tensor ffn_hidden(Builder& builder, EncoderLayer& l, const Parameters::Linear& fc1) {
    const Tensor x = l.attention_norm.y;
    const Tensor a = builder.activation("gelu", {x.shape[0], builder.config.intermediate});
    if (builder.options.keep_gelu) {
        l.u = builder.linear("fc1", x, fc1, {.form = builder.config.gelu, .output = a});
        l.a = a;
    } else {
        l.u = builder.linear("fc1", x, fc1);
        ops::gelu_forward(builder.program, "gelu", l.u, a, builder.config.gelu);
    }
    return a;
}

/// Gradients of the GEMMs that made q, k, v. dxq is the residual's gradient: what reaches x is added to it where x and
/// xq are one, else to `around` if that is given.
Tensor qkv_backward(Builder& builder, const EncoderLayer& l, const ops::AttentionGradients& d, Tensor dqkv, Tensor dxq,
                    Tensor around) {
    const int64_t h = builder.config.hidden;
    const Parameters::Linear& p = parameters_of(builder, l.index).qkv;
    if (!l.queries) {
        builder.weight_and_bias_gradient("qkv", dqkv, l.x, p);
        builder.input_gradient("qkv", dqkv, p, dxq, true);
        return dxq;
    }
    const bool accumulate = builder.record_write(p.weight);
    const Tensor dweight = builder.gradient(p.weight), dbias = builder.gradient(p.bias),
                 weight = builder.weight(p.weight);
    ops::gemm(builder.program, "q.weight_gradient",
              {.a = d.dq,
               .b = l.xq,
               .c = weight_rows(dweight, 0, h),
               .bias_gradient = dbias.view(0, {h}),
               .transpose_a = true,
               .accumulate = accumulate});
    ops::gemm(builder.program, "kv.weight_gradient",
              {.a = dqkv,
               .b = l.x,
               .c = weight_rows(dweight, h, 2 * h),
               .bias_gradient = dbias.view(h, {2 * h}),
               .transpose_a = true,
               .accumulate = accumulate});
    ops::gemm(builder.program, "q.backward", {.a = d.dq, .b = weight_rows(weight, 0, h), .c = dxq, .accumulate = true});
    const Tensor dx = around ? around : builder.activation("gradient", l.x.shape);
    ops::gemm(builder.program, "kv.backward",
              {.a = dqkv, .b = weight_rows(weight, h, 2 * h), .c = dx, .accumulate = static_cast<bool>(around)});
    ops::scatter_rows(builder.program, "queries.backward", dxq, l.queries, dx, ops::Scatter::accumulate);
    return dx;
}

Tensor attention_block_backward(Builder& builder, const EncoderLayer& l, Tensor dy, Tensor around) {
    const Parameters::Layer& p = parameters_of(builder, l.index);
    const int64_t h = builder.config.hidden;
    const ResidualGradients d =
        residual_norm_backward(builder, "attention_norm", l.attention_norm, dy, p.attention_norm, p.projection.bias);
    const Tensor dout = builder.activation("attention.output_gradient", l.attention.out.shape);
    builder.linear_backward("projection", d.branch, l.attention.out, p.projection, dout);
    const Tensor dqkv = builder.activation("qkv.gradient", l.qkv.shape);
    ops::AttentionGradients a{.dout = dout};
    if (l.queries) {
        a.dq = builder.activation("q.gradient", l.q.shape);
        a.dk = column_block(dqkv, 0, h);
        a.dv = column_block(dqkv, 1, h);
    } else {
        a.dq = column_block(dqkv, 0, h);
        a.dk = column_block(dqkv, 1, h);
        a.dv = column_block(dqkv, 2, h);
    }
    ops::attention_backward(builder.program, "attention.backward", l.attention, a);
    return qkv_backward(builder, l, a, dqkv, d.residual, around);
}

Tensor ffn_backward(Builder& builder, const EncoderLayer& l, Tensor dy) {
    const Parameters::Layer& p = parameters_of(builder, l.index);
    const ResidualGradients d =
        residual_norm_backward(builder, "output_norm", l.output_norm, dy, p.output_norm, p.fc2.bias);
    const Tensor du = builder.activation("fc1.output_gradient", l.u.shape);
    Tensor a = l.a;
    if (a) {
        builder.input_gradient("fc2", d.branch, p.fc2, du, {.form = builder.config.gelu, .input = l.u});
    } else {
        // GELU's output, a quarter of what a layer would have to keep, is made again (to the same bits) from u by the
        // kernel that reads u anyway, which writes a third more for it and has the sums for fc1's bias at hand.
        const Tensor da = builder.activation("fc2.input_gradient", l.u.shape);
        builder.input_gradient("fc2", d.branch, p.fc2, da);
        a = builder.activation("gelu.again", l.u.shape);
        ops::gelu_backward(builder.program, "gelu.backward", da, l.u, du, builder.gradient(p.fc1.bias), a,
                           builder.config.gelu, builder.record_write(p.fc1.bias));
    }
    builder.weight_gradient("fc2", d.branch, a, p.fc2);
    const Tensor x = l.attention_norm.y;
    if (l.a)
        builder.weight_and_bias_gradient("fc1", du, x, p.fc1);
    else
        builder.weight_gradient("fc1", du, x, p.fc1);
    builder.input_gradient("fc1", du, p.fc1, d.residual, true);
    return d.residual;
}

}  // namespace

EncoderLayer encoder_layer_forward(Builder& builder, int64_t index, Tensor x, const LayerRows& rows) {
    const Program::Scope scope(builder.program, scope_name(index));
    const Parameters::Layer& p = parameters_of(builder, index);
    EncoderLayer l{.index = index, .queries = rows.queries, .x = x, .xq = x};
    if (l.queries) {
        l.xq = builder.activation("queries", {l.queries.shape.size(), builder.config.hidden});
        ops::gather_rows(builder.program, "queries", x, l.queries, l.xq);
    }
    project_qkv(builder, l);
    attend(builder, l, rows.lengths);
    const Tensor projected = builder.linear("projection", l.attention.out, p.projection);
    l.attention_norm =
        residual_norm(builder, "attention_norm", projected, l.xq, p.attention_norm, projection_site(index));
    const Tensor f = builder.linear("fc2", ffn_hidden(builder, l, p.fc1), p.fc2);
    l.output_norm = residual_norm(builder, "output_norm", f, l.attention_norm.y, p.output_norm, ffn_site(index));
    l.y = l.output_norm.y;
    return l;
}

Tensor encoder_layer_backward(Builder& builder, const EncoderLayer& layer, Tensor dy, Tensor around) {
    const Program::Scope scope(builder.program, scope_name(layer.index));
    return attention_block_backward(builder, layer, ffn_backward(builder, layer, dy), around);
}

}  // namespace dropforge
