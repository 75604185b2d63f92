#include "model/network/encoder_layer.h"

namespace dropforge {

namespace {

const Parameters::Layer& parameters_of(const Graph& graph, int64_t index) {
    return graph.parameters.layers[static_cast<size_t>(index)];
}

std::string scope_name(int64_t index) { return "layer" + std::to_string(index); }

/// Rows first … first+n-1 of a fused linear parameter [3h,h]: the query part, or key and value.
Tensor weight_rows(Tensor weight, int64_t first, int64_t n) {
    const int64_t h = weight.shape[1];
    return weight.view(first * h, {n, h});
}

/// The n-th block of h columns of x [T, blocks*h]; its rows stay blocks*h elements apart.
Tensor column_block(Tensor x, int64_t n, int64_t h) { return x.view(n * h, {x.shape[0], h}); }

/// q, k, v from one GEMM over x, or queries from xq and keys, values from x.
void project_qkv(Graph& g, EncoderLayer& l) {
    const int64_t h = g.config.hidden, t = l.x.shape[0];
    const Parameters::Linear& p = parameters_of(g, l.index).qkv;
    ops::Attention& a = l.attention;
    if (!l.queries) {
        l.qkv = g.linear("qkv", l.x, p);
        a.q = column_block(l.qkv, 0, h), a.k = column_block(l.qkv, 1, h), a.v = column_block(l.qkv, 2, h);
        a.stride_q = a.stride_kv = 3 * h;
        return;
    }
    const Tensor weight = g.weight(p.weight), bias = g.master(p.bias);
    l.q = g.activation("q", {l.xq.shape[0], h});
    ops::gemm(g.program, "q",
              {.a = l.xq, .b = weight_rows(weight, 0, h), .c = l.q, .bias = bias.view(0, {h}), .transpose_b = true});
    l.qkv = g.activation("kv", {t, 2 * h});
    ops::gemm(
        g.program, "kv",
        {.a = l.x, .b = weight_rows(weight, h, 2 * h), .c = l.qkv, .bias = bias.view(h, {2 * h}), .transpose_b = true});
    a.q = l.q, a.k = column_block(l.qkv, 0, h), a.v = column_block(l.qkv, 1, h);
    a.stride_q = h, a.stride_kv = 2 * h;
}

void attend(Graph& g, EncoderLayer& l, Tensor lengths) {
    const BertConfig& c = g.config;
    ops::Attention& a = l.attention;
    a.batch = g.options.batch, a.heads = c.heads, a.head_size = c.head_size();
    a.rows_q = l.xq.shape[0] / a.batch, a.rows_kv = l.x.shape[0] / a.batch;
    a.lengths = lengths;
    a.dropout = g.attention_dropout(attention_site(l.index));
    a.out = g.activation("attention", {l.xq.shape[0], c.hidden});
    a.lse = g.program.planned("lse", DType::f32, {a.batch, a.heads, a.rows_q});
    ops::attention_forward(g.program, "attention", a);
}

/// y = LayerNorm(dropout(x) + residual) under the given name.
ops::LayerNorm residual_norm(Graph& g, const std::string& name, Tensor x, Tensor residual, const Parameters::Norm& p,
                             uint32_t site) {
    const int64_t t = x.shape[0];
    ops::LayerNorm n{.x = x,
                     .residual = residual,
                     .gain = g.master(p.gain),
                     .bias = g.master(p.bias),
                     .z = g.activation(name + ".sum", x.shape),
                     .y = g.activation(name, x.shape),
                     .mean = g.program.planned(name + ".mean", DType::f32, {t}),
                     .rstd = g.program.planned(name + ".rstd", DType::f32, {t}),
                     .rows_per_sequence = t / g.options.batch,
                     .epsilon = g.config.epsilon,
                     .dropout = g.hidden_dropout(site)};
    ops::layernorm_forward(g.program, name, n);
    return n;
}

struct ResidualGradients {
    Tensor residual, branch;  // at the residual, at the branch's linear output
};

/// `bias`: of the linear layer that feeds the branch.
ResidualGradients residual_norm_backward(Graph& g, const std::string& name, const ops::LayerNorm& n, Tensor dy,
                                         const Parameters::Norm& p, Parameters::Index bias) {
    const Tensor dz = g.activation(name + ".residual_gradient", dy.shape);
    const Tensor dx = n.dropout.active() ? g.activation(name + ".branch_gradient", dy.shape) : Tensor{};
    ops::layernorm_backward(g.program, name + ".backward", n,
                            {.dy = dy,
                             .dz = dz,
                             .dx = dx,
                             .dgain = g.gradient(p.gain),
                             .dbias = g.gradient(p.bias),
                             .dx_sum = g.gradient(bias),
                             .accumulate = g.adds(p.gain)});
    return {dz, dx ? dx : dz};
}

/// u = fc1 of the attention block's output, and gelu(u), which is returned: in one where it is kept for backward, since
/// then it need not have the bits that backward would make again from u as it was rounded.
Tensor ffn_hidden(Graph& g, EncoderLayer& l, const Parameters::Linear& fc1) {
    const Tensor x = l.attention_norm.y;
    const Tensor a = g.activation("gelu", {x.shape[0], g.config.intermediate});
    if (g.options.keep_gelu) {
        l.u = g.linear("fc1", x, fc1, {.form = g.config.gelu, .output = a});
        l.a = a;
    } else {
        l.u = g.linear("fc1", x, fc1);
        ops::gelu_forward(g.program, "gelu", l.u, a, g.config.gelu);
    }
    return a;
}

/// Gradients of the GEMMs that made q, k, v. dxq is the residual's gradient: what reaches x is added to it where x and
/// xq are one, else to `around` if that is given.
Tensor qkv_backward(Graph& g, const EncoderLayer& l, const ops::AttentionGradients& d, Tensor dqkv, Tensor dxq,
                    Tensor around) {
    const int64_t h = g.config.hidden;
    const Parameters::Linear& p = parameters_of(g, l.index).qkv;
    if (!l.queries) {
        g.weight_and_bias_gradient("qkv", dqkv, l.x, p);
        g.input_gradient("qkv", dqkv, p, dxq, true);
        return dxq;
    }
    const bool accumulate = g.adds(p.weight);
    const Tensor dweight = g.gradient(p.weight), dbias = g.gradient(p.bias), weight = g.weight(p.weight);
    ops::gemm(g.program, "q.weight_gradient",
              {.a = d.dq,
               .b = l.xq,
               .c = weight_rows(dweight, 0, h),
               .a_sums = dbias.view(0, {h}),
               .transpose_a = true,
               .accumulate = accumulate});
    ops::gemm(g.program, "kv.weight_gradient",
              {.a = dqkv,
               .b = l.x,
               .c = weight_rows(dweight, h, 2 * h),
               .a_sums = dbias.view(h, {2 * h}),
               .transpose_a = true,
               .accumulate = accumulate});
    ops::gemm(g.program, "q.backward", {.a = d.dq, .b = weight_rows(weight, 0, h), .c = dxq, .accumulate = true});
    const Tensor dx = around ? around : g.activation("gradient", l.x.shape);
    ops::gemm(g.program, "kv.backward",
              {.a = dqkv, .b = weight_rows(weight, h, 2 * h), .c = dx, .accumulate = static_cast<bool>(around)});
    ops::scatter_rows(g.program, "queries.backward", dxq, l.queries, dx, ops::Scatter::accumulate);
    return dx;
}

Tensor attention_block_backward(Graph& g, const EncoderLayer& l, Tensor dy, Tensor around) {
    const Parameters::Layer& p = parameters_of(g, l.index);
    const int64_t h = g.config.hidden;
    const ResidualGradients d =
        residual_norm_backward(g, "attention_norm", l.attention_norm, dy, p.attention_norm, p.projection.bias);
    const Tensor dout = g.activation("attention.output_gradient", l.attention.out.shape);
    g.linear_backward("projection", d.branch, l.attention.out, p.projection, dout);
    const Tensor dqkv = g.activation("qkv.gradient", l.qkv.shape);
    ops::AttentionGradients a{.dout = dout};
    if (l.queries) {
        a.dq = g.activation("q.gradient", l.q.shape);
        a.dk = column_block(dqkv, 0, h), a.dv = column_block(dqkv, 1, h);
    } else {
        a.dq = column_block(dqkv, 0, h), a.dk = column_block(dqkv, 1, h), a.dv = column_block(dqkv, 2, h);
    }
    ops::attention_backward(g.program, "attention.backward", l.attention, a);
    return qkv_backward(g, l, a, dqkv, d.residual, around);
}

Tensor ffn_backward(Graph& g, const EncoderLayer& l, Tensor dy) {
    const Parameters::Layer& p = parameters_of(g, l.index);
    const ResidualGradients d = residual_norm_backward(g, "output_norm", l.output_norm, dy, p.output_norm, p.fc2.bias);
    const Tensor du = g.activation("fc1.output_gradient", l.u.shape);
    Tensor a = l.a;
    if (a) {
        g.input_gradient("fc2", d.branch, p.fc2, du, {.form = g.config.gelu, .input = l.u});
    } else {
        // GELU's output, a quarter of what a layer would have to keep, is made again (to the same bits) from u by the
        // kernel that reads u anyway, which writes a third more for it and has the sums for fc1's bias at hand.
        const Tensor da = g.activation("fc2.input_gradient", l.u.shape);
        g.input_gradient("fc2", d.branch, p.fc2, da);
        a = g.activation("gelu.again", l.u.shape);
        ops::gelu_backward(g.program, "gelu.backward", da, l.u, du, g.gradient(p.fc1.bias), a, g.config.gelu,
                           g.adds(p.fc1.bias));
    }
    g.weight_gradient("fc2", d.branch, a, p.fc2);
    const Tensor x = l.attention_norm.y;
    l.a ? g.weight_and_bias_gradient("fc1", du, x, p.fc1) : g.weight_gradient("fc1", du, x, p.fc1);
    g.input_gradient("fc1", du, p.fc1, d.residual, true);
    return d.residual;
}

}  // namespace

EncoderLayer encoder_layer_forward(Graph& g, int64_t index, Tensor x, const LayerRows& rows) {
    const Program::Scope scope(g.program, scope_name(index));
    const Parameters::Layer& p = parameters_of(g, index);
    EncoderLayer l{.index = index, .queries = rows.queries, .x = x, .xq = x};
    if (l.queries) {
        l.xq = g.activation("queries", {l.queries.shape.size(), g.config.hidden});
        ops::gather_rows(g.program, "queries", x, l.queries, l.xq);
    }
    project_qkv(g, l);
    attend(g, l, rows.lengths);
    const Tensor projected = g.linear("projection", l.attention.out, p.projection);
    l.attention_norm = residual_norm(g, "attention_norm", projected, l.xq, p.attention_norm, projection_site(index));
    const Tensor f = g.linear("fc2", ffn_hidden(g, l, p.fc1), p.fc2);
    l.output_norm = residual_norm(g, "output_norm", f, l.attention_norm.y, p.output_norm, ffn_site(index));
    l.y = l.output_norm.y;
    return l;
}

Tensor encoder_layer_backward(Graph& g, const EncoderLayer& layer, Tensor dy, Tensor around) {
    const Program::Scope scope(g.program, scope_name(layer.index));
    return attention_block_backward(g, layer, ffn_backward(g, layer, dy), around);
}

}  // namespace dropforge
