#include "model/network/dropping_ops.h"

#include "base/error.h"
#include "engine/op_shapes.h"

namespace dropforge::ops {

void token_values(Program& program, const std::string& name, Tensor ids, Tensor table, Tensor noise, uint32_t site,
                  Tensor values) {
    same_shape(name, ids, values);
    program.add(name, {.reads = {ids, table, noise}, .writes = {values}}, [=](const Run& r) {
        r.kernels.token_values({r.at<int32_t>(ids), r.at<float>(table), r.at<uint32_t>(noise), r.at<float>(values),
                                rows(ids), columns(ids), site},
                               r.context);
    });
}

void top_k(Program& program, const std::string& name, Tensor values, Tensor lengths, Tensor kept, Tensor kept_lengths) {
    require(rows(kept) == rows(values) && columns(kept) >= 1 && columns(kept) <= columns(values),
            "{}: cannot keep {} of {}", name, kept.shape.text(), values.shape.text());
    is_vector(name, "lengths", lengths, DType::i32, rows(values));
    is_vector(name, "kept lengths", kept_lengths, DType::i32, rows(values));
    program.add(name, {.reads = {values, lengths}, .writes = {kept, kept_lengths}}, [=](const Run& r) {
        r.kernels.top_k({r.at<float>(values), r.at<int32_t>(lengths), r.at<int32_t>(kept), r.at<int32_t>(kept_lengths),
                         rows(values), columns(values), columns(kept)},
                        r.context);
    });
}

void importance_sums(Program& program, const std::string& name, Tensor labels, Tensor weights, Tensor loss, Tensor sums,
                     Tensor counts, bool accumulate) {
    const int64_t n = labels.shape.size(), vocabulary = sums.shape.size();
    is_vector(name, "weights", weights, DType::f32, n);
    is_vector(name, "loss", loss, DType::f32, n);
    is_vector(name, "counts", counts, DType::f32, vocabulary);
    Access access{.reads = {labels, weights, loss}, .writes = {sums, counts}};
    if (accumulate) access.reads.insert(access.reads.end(), {sums, counts});
    program.add(name, access, [=](const Run& r) {
        r.kernels.importance_sums({r.at<int32_t>(labels), r.at<float>(weights), r.at<float>(loss), r.at<float>(sums),
                                   r.at<float>(counts), n, vocabulary, accumulate},
                                  r.context);
    });
}

void importance_update(Program& program, const std::string& name, Tensor sums, Tensor counts, Tensor table, Tensor norm,
                       std::span<const kernels::FixedValue> fixed, double beta) {
    const int64_t vocabulary = table.shape.size();
    is_vector(name, "sums", sums, DType::f32, vocabulary);
    is_vector(name, "counts", counts, DType::f32, vocabulary);
    for (const kernels::FixedValue& value : fixed)
        require(value.id >= 0 && value.id < vocabulary, "{}: a fixed value for id {} of {}", name, value.id,
                vocabulary);
    program.add(name, {.reads = {sums, counts, table, norm}, .writes = {table}}, [=](const Run& r) {
        r.kernels.importance_update(
            {r.at<float>(sums), r.at<float>(counts), r.at<float>(table), r.at<float>(norm), fixed, vocabulary, beta},
            r.context);
    });
}

namespace {

/// Rows per sequence of what is pooled.
int64_t pooled_from(const std::string& name, const Pool& p, const Tensor& pooled) {
    require(rows(p.x) % rows(pooled) == 0 && columns(p.x) == columns(pooled), "{}: {} does not pool to {}", name,
            p.x.shape.text(), pooled.shape.text());
    is_vector(name, "lengths", p.lengths, DType::i32, rows(pooled));
    const int64_t per = rows(p.x) / rows(pooled);
    require(p.lengths || (p.count >= 1 && p.count <= per), "{}: cannot pool {} rows of {}", name, p.count, per);
    return per;
}

}  // namespace

void pool_forward(Program& program, const std::string& name, const Pool& p, Tensor pooled) {
    const int64_t per = pooled_from(name, p, pooled);
    program.add(name, {.reads = {p.x, p.lengths}, .writes = {pooled}}, [=](const Run& r) {
        r.kernels.pool_forward({r.at(p.x), r.at<int32_t>(p.lengths), r.at<float>(pooled), rows(pooled), per,
                                columns(pooled), p.count, p.x.dtype},
                               r.context);
    });
}

void pool_backward(Program& program, const std::string& name, const Pool& p, Tensor dpooled, Tensor dx,
                   bool accumulate) {
    const int64_t per = pooled_from(name, p, dpooled);
    same_shape(name, p.x, dx);
    Access access{.reads = {dpooled, p.lengths}, .writes = {dx}};
    if (accumulate) access.reads.push_back(dx);
    program.add(name, access, [=](const Run& r) {
        r.kernels.pool_backward({r.at<float>(dpooled), r.at<int32_t>(p.lengths), r.at(dx), rows(dpooled), per,
                                 columns(dpooled), p.count, dx.dtype, accumulate},
                                r.context);
    });
}

void kl_divergence(Program& program, const std::string& name, Tensor target, Tensor input, Tensor gradient_scale,
                   Tensor loss_scale, Tensor kl, Tensor dtarget, Tensor dinput) {
    same_shape(name, target, input);
    is_vector(name, "kl", kl, DType::f32, rows(target));
    Access access{.reads = {target, input, gradient_scale, loss_scale}, .writes = {kl}};
    if (gradient_scale) {
        same_shape(name, target, dtarget);
        same_shape(name, input, dinput);
        access.writes.insert(access.writes.end(), {dtarget, dinput});
        access.inplace = {{dtarget, target}, {dinput, input}};
    }
    program.add(name, access, [=](const Run& r) {
        r.kernels.kl_divergence(
            {r.at<float>(target), r.at<float>(input), r.at<float>(gradient_scale), r.at<float>(loss_scale),
             r.at<float>(kl), r.at<float>(dtarget), r.at<float>(dinput), rows(target), columns(target)},
            r.context);
    });
}

}  // namespace dropforge::ops
