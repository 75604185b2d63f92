// Builders of engine/ops.h for losses.
#include "engine/op_shapes.h"
#include "engine/ops.h"

namespace dropforge::ops {

namespace {

/// The sums of a loss's rows; weights and correct may be absent.
struct Totals {
    Tensor loss, weights, correct, totals;
    bool accumulate;
};

void add_totals(Program& program, const std::string& name, const Totals& t) {
    Access access{.reads = {t.loss, t.weights, t.correct}, .writes = {t.totals}};
    if (t.accumulate) access.reads.push_back(t.totals);
    program.add(name + ".totals", access, [=](const Run& r) {
        r.kernels.loss_totals({.loss = r.at<float>(t.loss),
                               .weights = r.at<float>(t.weights),
                               .correct = r.at<float>(t.correct),
                               .totals = r.at<float>(t.totals),
                               .rows = t.loss.shape.size(),
                               .accumulate = t.accumulate},
                              r.context);
    });
}

/// Checks the tensors that all losses of n rows have.
template <typename Loss>
void check_loss(const std::string& name, const Loss& l, int64_t n) {
    check_optional_vector(name, "weights", l.weights, DType::f32, n);
    check_optional_vector(name, "gradient_scale", l.gradient_scale, DType::f32, 1);
    check_optional_loss_scale(name, l.loss_scale);
    check_vector(name, "loss", l.loss, DType::f32, n);
    check_vector(name, "totals", l.totals, DType::f32, 3);
}

}  // namespace

void cross_entropy(Program& program, const std::string& name, const CrossEntropy& c) {
    const int64_t n = rows(c.logits);
    check_float(name, "logits", c.logits);
    require(c.columns >= 1 && c.columns <= columns(c.logits), "{}: {} classes of logits {}", name, c.columns,
            c.logits.shape.text());
    check_vector(name, "labels", c.labels, DType::i32, n);
    check_loss(name, c, n);
    check_vector(name, "correct", c.correct, DType::f32, n);
    Access access{.reads = {c.logits, c.labels, c.weights, c.gradient_scale, c.loss_scale},
                  .writes = {c.loss, c.correct}};
    if (c.gradient_scale) access.writes.push_back(c.logits);
    program.add(name, access, [=](const Run& r) {
        r.kernels.cross_entropy({.logits = r.at(c.logits),
                                 .labels = r.at<int32_t>(c.labels),
                                 .weights = r.at<float>(c.weights),
                                 .gradient_scale = r.at<float>(c.gradient_scale),
                                 .loss_scale = r.at<float>(c.loss_scale),
                                 .loss = r.at<float>(c.loss),
                                 .correct = r.at<float>(c.correct),
                                 .rows = n,
                                 .columns = c.columns,
                                 .stride = columns(c.logits),
                                 .dtype = c.logits.dtype},
                                r.context);
    });
    add_totals(program, name, {c.loss, c.weights, c.correct, c.totals, c.accumulate});
}

void squared_error(Program& program, const std::string& name, const SquaredError& s) {
    check_given(name, "predictions", s.predictions);
    const int64_t n = s.predictions.shape.size();
    check_vector(name, "predictions", s.predictions, DType::f32, n);
    check_vector(name, "labels", s.labels, DType::f32, n);
    check_loss(name, s, n);
    Access access{.reads = {s.predictions, s.labels, s.weights, s.gradient_scale, s.loss_scale}, .writes = {s.loss}};
    if (s.gradient_scale) access.writes.push_back(s.predictions);
    program.add(name, access, [=](const Run& r) {
        r.kernels.squared_error({.predictions = r.at<float>(s.predictions),
                                 .labels = r.at<float>(s.labels),
                                 .weights = r.at<float>(s.weights),
                                 .gradient_scale = r.at<float>(s.gradient_scale),
                                 .loss_scale = r.at<float>(s.loss_scale),
                                 .loss = r.at<float>(s.loss),
                                 .rows = n},
                                r.context);
    });
    add_totals(program, name, {s.loss, s.weights, {}, s.totals, s.accumulate});
}

void span_loss(Program& program, const std::string& name, const SpanLoss& s) {
    check_given(name, "logits", s.logits);
    check_given(name, "starts", s.starts);
    const int64_t batch = s.starts.shape.size();
    require(s.logits.dtype == DType::f32 && columns(s.logits) == 2 && rows(s.logits) % batch == 0,
            "{}: logits must be f32 [positions of {} sequences, 2], not {} {}", name, batch, name_of(s.logits.dtype),
            s.logits.shape.text());
    check_vector(name, "starts", s.starts, DType::i32, batch);
    check_vector(name, "ends", s.ends, DType::i32, batch);
    check_optional_vector(name, "lengths", s.lengths, DType::i32, batch);
    check_loss(name, s, batch);
    Access access{.reads = {s.logits, s.lengths, s.starts, s.ends, s.weights, s.gradient_scale, s.loss_scale},
                  .writes = {s.loss}};
    if (s.gradient_scale) access.writes.push_back(s.logits);
    program.add(name, access, [=](const Run& r) {
        r.kernels.span_loss({.logits = r.at<float>(s.logits),
                             .lengths = r.at<int32_t>(s.lengths),
                             .starts = r.at<int32_t>(s.starts),
                             .ends = r.at<int32_t>(s.ends),
                             .weights = r.at<float>(s.weights),
                             .gradient_scale = r.at<float>(s.gradient_scale),
                             .loss_scale = r.at<float>(s.loss_scale),
                             .loss = r.at<float>(s.loss),
                             .batch = batch,
                             .per_sequence = rows(s.logits) / batch},
                            r.context);
    });
    add_totals(program, name, {s.loss, s.weights, {}, s.totals, s.accumulate});
}

}  // namespace dropforge::ops
