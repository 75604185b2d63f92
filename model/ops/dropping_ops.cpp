#include "model/ops/dropping_ops.h"

#include "base/error.h"
#include "engine/op_shapes.h"

namespace dropforge::ops {

void token_values(Program& program, const std::string& name, Tensor ids, Tensor table, Tensor noise, uint32_t site,
                  Tensor values) {
    check_tensor(name, "ids", ids, DType::i32, {rows(ids), columns(ids)});
    check_vector(name, "table", table, DType::f32, table.shape.size());
    check_optional_vector(name, "noise", noise, DType::i32, 4);
    check_tensor(name, "values", values, DType::f32, ids.shape);
    program.add(name, {.reads = {ids, table, noise}, .writes = {values}}, [=](const Run& r) {
        r.kernels.token_values({.ids = r.at<int32_t>(ids),
                                .table = r.at<float>(table),
                                .noise = r.at<uint32_t>(noise),
                                .values = r.at<float>(values),
                                .batch = rows(ids),
                                .sequence = columns(ids),
                                .site = site},
                               r.context);
    });
}

void top_k(Program& program, const std::string& name, Tensor values, Tensor lengths, Tensor kept, Tensor kept_lengths) {
    const int64_t b = rows(values), s = columns(values), k = columns(kept);
    check_tensor(name, "values", values, DType::f32, {b, s});
    require(rows(kept) == b && k >= 1 && k <= s, "{}: cannot keep {} of {}", name, kept.shape.text(),
            values.shape.text());
    check_tensor(name, "kept", kept, DType::i32, {b, k});
    check_optional_vector(name, "lengths", lengths, DType::i32, b);
    check_optional_vector(name, "kept lengths", kept_lengths, DType::i32, b);
    program.add(name, {.reads = {values, lengths}, .writes = {kept, kept_lengths}}, [=](const Run& r) {
        r.kernels.top_k({.values = r.at<float>(values),
                         .lengths = r.at<int32_t>(lengths),
                         .kept = r.at<int32_t>(kept),
                         .kept_lengths = r.at<int32_t>(kept_lengths),
                         .batch = b,
                         .sequence = s,
                         .keep = k},
                        r.context);
    });
}

void importance_sums(Program& program, const std::string& name, Tensor labels, Tensor weights, Tensor loss, Tensor sums,
                     Tensor counts, bool accumulate) {
    const int64_t n = labels.shape.size(), vocabulary = sums.shape.size();
    check_vector(name, "labels", labels, DType::i32, n);
    check_vector(name, "weights", weights, DType::f32, n);
    check_vector(name, "loss", loss, DType::f32, n);
    check_vector(name, "sums", sums, DType::f32, vocabulary);
    check_vector(name, "counts", counts, DType::f32, vocabulary);
    Access access{.reads = {labels, weights, loss}, .writes = {sums, counts}};
    if (accumulate) access.reads.insert(access.reads.end(), {sums, counts});
    program.add(name, access, [=](const Run& r) {
        r.kernels.importance_sums({.labels = r.at<int32_t>(labels),
                                   .weights = r.at<float>(weights),
                                   .loss = r.at<float>(loss),
                                   .sums = r.at<float>(sums),
                                   .counts = r.at<float>(counts),
                                   .n = n,
                                   .vocabulary = vocabulary,
                                   .accumulate = accumulate},
                                  r.context);
    });
}

void importance_update(Program& program, const std::string& name, Tensor sums, Tensor counts, Tensor table, Tensor norm,
                       std::span<const kernels::FixedValue> fixed, double beta) {
    const int64_t vocabulary = table.shape.size();
    check_vector(name, "table", table, DType::f32, vocabulary);
    check_vector(name, "sums", sums, DType::f32, vocabulary);
    check_vector(name, "counts", counts, DType::f32, vocabulary);
    check_vector(name, "norm", norm, DType::f32, 1);
    for (const kernels::FixedValue& value : fixed)
        require(value.id >= 0 && value.id < vocabulary, "{}: a fixed value for id {} of {}", name, value.id,
                vocabulary);
    program.add(name, {.reads = {sums, counts, table, norm}, .writes = {table}}, [=](const Run& r) {
        r.kernels.importance_update({.sums = r.at<float>(sums),
                                     .counts = r.at<float>(counts),
                                     .table = r.at<float>(table),
                                     .norm = r.at<float>(norm),
                                     .fixed = fixed,
                                     .vocabulary = vocabulary,
                                     .beta = beta},
                                    r.context);
    });
}

namespace {

/// Rows per sequence of what is pooled.
int64_t pooled_from(const std::string& name, const Pool& p, const char* what, const Tensor& pooled) {
    check_float(name, "x", p.x);
    check_given(name, what, pooled);
    require(rows(p.x) % rows(pooled) == 0 && columns(p.x) == columns(pooled), "{}: {} does not pool to {}", name,
            p.x.shape.text(), pooled.shape.text());
    check_tensor(name, what, pooled, DType::f32, pooled.shape);
    check_optional_vector(name, "lengths", p.lengths, DType::i32, rows(pooled));
    const int64_t per = rows(p.x) / rows(pooled);
    require(p.lengths || (p.count >= 1 && p.count <= per), "{}: cannot pool {} rows of {}", name, p.count, per);
    return per;
}

}  // namespace

void pool_forward(Program& program, const std::string& name, const Pool& p, Tensor pooled) {
    const int64_t per = pooled_from(name, p, "pooled", pooled);
    program.add(name, {.reads = {p.x, p.lengths}, .writes = {pooled}}, [=](const Run& r) {
        r.kernels.pool_forward({.x = r.at(p.x),
                                .lengths = r.at<int32_t>(p.lengths),
                                .pooled = r.at<float>(pooled),
                                .batch = rows(pooled),
                                .per_sequence = per,
                                .columns = columns(pooled),
                                .count = p.count,
                                .dtype = p.x.dtype},
                               r.context);
    });
}

void pool_backward(Program& program, const std::string& name, const Pool& p, Tensor dpooled, Tensor dx,
                   bool accumulate) {
    const int64_t per = pooled_from(name, p, "dpooled", dpooled);
    check_like(name, "dx", dx, p.x);
    Access access{.reads = {dpooled, p.lengths}, .writes = {dx}};
    if (accumulate) access.reads.push_back(dx);
    program.add(name, access, [=](const Run& r) {
        r.kernels.pool_backward({.dpooled = r.at<float>(dpooled),
                                 .lengths = r.at<int32_t>(p.lengths),
                                 .dx = r.at(dx),
                                 .batch = rows(dpooled),
                                 .per_sequence = per,
                                 .columns = columns(dpooled),
                                 .count = p.count,
                                 .dtype = dx.dtype,
                                 .accumulate = accumulate},
                                r.context);
    });
}

void kl_divergence(Program& program, const std::string& name, Tensor target, Tensor input, Tensor gradient_scale,
                   Tensor loss_scale, Tensor kl, Tensor dtarget, Tensor dinput) {
    check_tensor(name, "target", target, DType::f32, {rows(target), columns(target)});
    check_like(name, "input", input, target);
    check_optional_vector(name, "gradient_scale", gradient_scale, DType::f32, 1);
    check_optional_loss_scale(name, loss_scale);
    check_vector(name, "kl", kl, DType::f32, rows(target));
    Access access{.reads = {target, input, gradient_scale, loss_scale}, .writes = {kl}};
    if (gradient_scale) {
        check_like(name, "dtarget", dtarget, target);
        check_like(name, "dinput", dinput, input);
        access.writes.insert(access.writes.end(), {dtarget, dinput});
        access.inplace = {{dtarget, target}, {dinput, input}};
    }
    program.add(name, access, [=](const Run& r) {
        r.kernels.kl_divergence({.target = r.at<float>(target),
                                 .input = r.at<float>(input),
                                 .gradient_scale = r.at<float>(gradient_scale),
                                 .loss_scale = r.at<float>(loss_scale),
                                 .kl = r.at<float>(kl),
                                 .dtarget = r.at<float>(dtarget),
                                 .dinput = r.at<float>(dinput),
                                 .rows = rows(target),
                                 .columns = columns(target)},
                                r.context);
    });
}

}  // namespace dropforge::ops
