#include "model/ops/embedding_ops.h"

#include "engine/op_shapes.h"

namespace dropforge::ops {

namespace {

/// What `rows` look-ups touch of a table at most.
Tensor looked_up(Tensor table, int64_t rows) {
    return table.shape[0] <= rows ? table : table.view(0, {rows, table.shape[1]});
}

void check_table(const std::string& name, const char* what, const Tensor& t, int64_t h) {
    check_tensor(name, what, t, DType::f32, {rows(t), h});
}

/// Of forward and backward: what both read.
void check_embedding(const std::string& name, const Embedding& e) {
    check_float(name, "y", e.y);
    const int64_t t = rows(e.y), h = columns(e.y);
    check_vector(name, "ids", e.ids, DType::i32, t);
    check_optional_vector(name, "types", e.types, DType::i32, t);
    check_table(name, "word", e.word, h);
    check_table(name, "position", e.position, h);
    check_table(name, "type", e.type, h);
    check_vector(name, "gain", e.gain, DType::f32, h);
    check_vector(name, "bias", e.bias, DType::f32, h);
    check_vector(name, "mean", e.mean, DType::f32, t);
    check_vector(name, "rstd", e.rstd, DType::f32, t);
    require(e.sequence >= 1 && e.sequence <= rows(e.position) && t % e.sequence == 0,
            "{}: {} rows are no sequences of {}, or that is more than {} positions", name, t, e.sequence,
            rows(e.position));
    check_dropout(name, e.dropout);
}

}  // namespace

void embedding_forward(Program& program, const std::string& name, const Embedding& e) {
    check_embedding(name, e);
    const Access access{
        .reads = {e.ids, e.types, looked_up(e.word, rows(e.y)), e.position, e.type, e.gain, e.bias, e.dropout.state},
        .writes = {e.y, e.mean, e.rstd}};
    program.add(name, access, [=](const Run& r) {
        r.kernels.embedding_forward({.ids = r.at<int32_t>(e.ids),
                                     .types = r.at<int32_t>(e.types),
                                     .word = r.at<float>(e.word),
                                     .position = r.at<float>(e.position),
                                     .type = r.at<float>(e.type),
                                     .gain = r.at<float>(e.gain),
                                     .bias = r.at<float>(e.bias),
                                     .y = r.at(e.y),
                                     .mean = r.at<float>(e.mean),
                                     .rstd = r.at<float>(e.rstd),
                                     .rows = rows(e.y),
                                     .sequence = e.sequence,
                                     .columns = columns(e.y),
                                     .epsilon = e.epsilon,
                                     .dropout = e.dropout.at(r),
                                     .dtype = e.y.dtype},
                                    r.context);
    });
}

void embedding_backward(Program& program, const std::string& name, const Embedding& e, const EmbeddingGradients& g) {
    const int64_t t = rows(e.y), h = columns(e.y);
    check_embedding(name, e);
    check_like(name, "dy", g.dy, e.y);
    check_like(name, "dword", g.dword, e.word);
    check_like(name, "dposition", g.dposition, e.position);
    check_like(name, "dtype", g.dtype, e.type);
    check_vector(name, "dgain", g.dgain, DType::f32, h);
    check_vector(name, "dbias", g.dbias, DType::f32, h);
    const Tensor scratch = program.scratch(name + ".scratch", kernels::embedding_backward_scratch_bytes(t, h));
    Access access{.reads = {g.dy, e.ids, e.types, looked_up(e.word, t), e.position, e.type, e.gain, e.mean, e.rstd,
                            e.dropout.state, looked_up(g.dword, t)},
                  .writes = {looked_up(g.dword, t), g.dposition, g.dtype, g.dgain, g.dbias, scratch}};
    if (g.accumulate) access.reads.insert(access.reads.end(), {g.dposition, g.dtype, g.dgain, g.dbias});
    program.add(name, access, [=](const Run& r) {
        r.kernels.embedding_backward({.dy = r.at(g.dy),
                                      .ids = r.at<int32_t>(e.ids),
                                      .types = r.at<int32_t>(e.types),
                                      .word = r.at<float>(e.word),
                                      .position = r.at<float>(e.position),
                                      .type = r.at<float>(e.type),
                                      .gain = r.at<float>(e.gain),
                                      .mean = r.at<float>(e.mean),
                                      .rstd = r.at<float>(e.rstd),
                                      .dword = r.at<float>(g.dword),
                                      .dposition = r.at<float>(g.dposition),
                                      .dtype_table = r.at<float>(g.dtype),
                                      .dgain = r.at<float>(g.dgain),
                                      .dbias = r.at<float>(g.dbias),
                                      .scratch = r.at(scratch),
                                      .rows = t,
                                      .sequence = e.sequence,
                                      .columns = h,
                                      .positions = rows(e.position),
                                      .type_count = rows(e.type),
                                      .dropout = e.dropout.at(r),
                                      .dtype = g.dy.dtype,
                                      .accumulate = g.accumulate},
                                     r.context);
    });
}

}  // namespace dropforge::ops
