// Builders of engine/ops.h for attention.
#include <cmath>

#include "engine/op_shapes.h"
#include "engine/ops.h"

namespace dropforge::ops {

namespace {

double flops_of(const Attention& a) {  // of the forward pass: two matrix multiplications
    return 4.0 * static_cast<double>(a.batch * a.rows_q) * static_cast<double>(a.rows_kv * a.heads * a.head_size);
}

Work work_of(const Attention& a, Work::Kind kind) {
    return {.kind = kind, .count = a.batch * a.heads, .m = a.rows_q, .n = a.rows_kv, .k = a.head_size};
}

Tensor scratch_of(Program& program, const std::string& name, const Attention& a) {
    return program.scratch(name + ".scratch",
                           kernels::attention_scratch_bytes(a.batch, a.heads, a.head_size, a.rows_q, a.rows_kv));
}

void check_attention(const std::string& name, const Attention& a) {
    const int64_t h = a.heads * a.head_size;
    check_float(name, "q", a.q);
    check_tensor(name, "q", a.q, a.q.dtype, {a.batch * a.rows_q, h});
    check_tensor(name, "k", a.k, a.q.dtype, {a.batch * a.rows_kv, h});
    check_like(name, "v", a.v, a.k);
    require(a.stride_q >= h && a.stride_kv >= h, "{}: rows of {} numbers cannot be {} and {} apart", name, h,
            a.stride_q, a.stride_kv);
    check_optional_vector(name, "lengths", a.lengths, DType::i32, a.batch);
    check_like(name, "out", a.out, a.q);
    check_vector(name, "lse", a.lse, DType::f32, a.batch * a.heads * a.rows_q);
    check_dropout(name, a.dropout);
}

kernels::AttentionArguments arguments(const Attention& a, const Tensor& scratch, const Run& r) {
    return {.q = r.at(a.q),
            .k = r.at(a.k),
            .v = r.at(a.v),
            .lengths = r.at<int32_t>(a.lengths),
            .scratch = r.at(scratch),
            .batch = a.batch,
            .heads = a.heads,
            .head_size = a.head_size,
            .rows_q = a.rows_q,
            .rows_kv = a.rows_kv,
            .stride_q = a.stride_q,
            .stride_kv = a.stride_kv,
            .stride_out = columns(a.out),
            .scale = 1.0f / std::sqrt(static_cast<float>(a.head_size)),
            .dropout = a.dropout.at(r),
            .dtype = a.out.dtype};
}

}  // namespace

void attention_forward(Program& program, const std::string& name, const Attention& a) {
    check_attention(name, a);
    const Tensor scratch = scratch_of(program, name, a);
    const Access access{.reads = {a.q, a.k, a.v, a.lengths, a.dropout.state},
                        .writes = {a.out, a.lse, scratch},
                        .flops = flops_of(a),
                        .work = work_of(a, Work::Kind::attention_forward)};
    program.add(name, access, [=](const Run& r) {
        kernels::AttentionForward call{arguments(a, scratch, r)};
        call.out = r.at(a.out);
        call.lse = r.at<float>(a.lse);
        r.kernels.attention_forward(call, r.context);
    });
}

void attention_backward(Program& program, const std::string& name, const Attention& a, const AttentionGradients& g) {
    check_attention(name, a);
    check_like(name, "dout", g.dout, a.out);
    check_like(name, "dq", g.dq, a.q);
    check_like(name, "dk", g.dk, a.k);
    check_like(name, "dv", g.dv, a.v);
    const Tensor scratch = scratch_of(program, name, a);
    const Access access{.reads = {a.q, a.k, a.v, a.out, g.dout, a.lengths, a.lse, a.dropout.state},
                        .writes = {g.dq, g.dk, g.dv, scratch},
                        .flops = 2 * flops_of(a),
                        .work = work_of(a, Work::Kind::attention_backward)};
    program.add(name, access, [=](const Run& r) {
        kernels::AttentionBackward call{arguments(a, scratch, r)};
        call.out = r.at(a.out);
        call.dout = r.at(g.dout);
        call.lse = r.at<float>(a.lse);
        call.dq = r.at(g.dq);
        call.dk = r.at(g.dk);
        call.dv = r.at(g.dv);
        r.kernels.attention_backward(call, r.context);
    });
}

}  // namespace dropforge::ops
