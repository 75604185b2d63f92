#include "model/network/embedding_ops.h"

#include "engine/op_shapes.h"

namespace dropforge::ops {

namespace {

/// What `rows` look-ups touch of a table at most.
Tensor looked_up(Tensor table, int64_t rows) {
    return table.shape[0] <= rows ? table : table.view(0, {rows, table.shape[1]});
}

}  // namespace

void embedding_forward(Program& program, const std::string& name, const Embedding& e) {
    const Access access{
        .reads = {e.ids, e.types, looked_up(e.word, rows(e.y)), e.position, e.type, e.gain, e.bias, e.dropout.state},
        .writes = {e.y, e.mean, e.rstd}};
    program.add(name, access, [=](const Run& r) {
        r.kernels.embedding_forward(
            {r.at<int32_t>(e.ids), r.at<int32_t>(e.types), r.at<float>(e.word), r.at<float>(e.position),
             r.at<float>(e.type), r.at<float>(e.gain), r.at<float>(e.bias), r.at(e.y), r.at<float>(e.mean),
             r.at<float>(e.rstd), rows(e.y), e.sequence, columns(e.y), e.epsilon, e.dropout.at(r), e.y.dtype},
            r.context);
    });
}

void embedding_backward(Program& program, const std::string& name, const Embedding& e, const EmbeddingGradients& g) {
    const int64_t t = rows(g.dy), h = columns(g.dy);
    const Tensor scratch = program.scratch(name + ".scratch", kernels::embedding_backward_scratch_bytes(t, h));
    Access access{.reads = {g.dy, e.ids, e.types, looked_up(e.word, t), e.position, e.type, e.gain, e.mean, e.rstd,
                            e.dropout.state, looked_up(g.dword, t)},
                  .writes = {looked_up(g.dword, t), g.dposition, g.dtype, g.dgain, g.dbias, scratch}};
    if (g.accumulate) access.reads.insert(access.reads.end(), {g.dposition, g.dtype, g.dgain, g.dbias});
    program.add(name, access, [=](const Run& r) {
        r.kernels.embedding_backward({r.at(g.dy),
                                      r.at<int32_t>(e.ids),
                                      r.at<int32_t>(e.types),
                                      r.at<float>(e.word),
                                      r.at<float>(e.position),
                                      r.at<float>(e.type),
                                      r.at<float>(e.gain),
                                      r.at<float>(e.mean),
                                      r.at<float>(e.rstd),
                                      r.at<float>(g.dword),
                                      r.at<float>(g.dposition),
                                      r.at<float>(g.dtype),
                                      r.at<float>(g.dgain),
                                      r.at<float>(g.dbias),
                                      r.at(scratch),
                                      t,
                                      e.sequence,
                                      h,
                                      rows(e.position),
                                      rows(e.type),
                                      e.dropout.at(r),
                                      g.dy.dtype,
                                      g.accumulate},
                                     r.context);
    });
}

}  // namespace dropforge::ops
