// Cases of `bench kernels` for losses.
#include "bench/measure/kernel_memory.h"

namespace dropforge {

using namespace kernels;

namespace {

KernelCase cross_entropy(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t stride = (s.vocabulary + 127) / 128 * 128;
    const CrossEntropy c{.logits = m->values(s.masked * stride),
                         .labels = m->integers(s.masked, s.vocabulary),
                         .weights = nullptr,
                         .gradient_scale = m->floats(1),
                         .loss_scale = nullptr,
                         .loss = m->floats(s.masked),
                         .correct = m->floats(s.masked),
                         .rows = s.masked,
                         .columns = s.vocabulary,
                         .stride = stride,
                         .dtype = dtype};
    m->count(static_cast<double>(s.masked * stride) * static_cast<double>(size_of(dtype)));  // written too
    return make_case(m, c, &KernelTable::cross_entropy);
}
KernelCase loss_totals(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const LossTotals t{.loss = m->floats(s.masked),
                       .weights = m->floats(s.masked),
                       .correct = m->floats(s.masked),
                       .totals = m->floats(3),
                       .rows = s.masked,
                       .accumulate = false};
    return make_case(m, t, &KernelTable::loss_totals);
}
KernelCase squared_error(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const int64_t rows = s.rows / s.sequence;
    const SquaredError x{.predictions = m->floats(rows),
                         .labels = m->floats(rows),
                         .weights = nullptr,
                         .gradient_scale = m->floats(1),
                         .loss_scale = nullptr,
                         .loss = m->floats(rows),
                         .rows = rows};
    m->count(static_cast<double>(rows) * 4);  // predictions are written too
    return make_case(m, x, &KernelTable::squared_error);
}
KernelCase span_loss(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const int64_t batch = s.rows / s.sequence;
    const SpanLoss x{.logits = m->floats(2 * s.rows),
                     .lengths = nullptr,
                     .starts = m->integers(batch, s.sequence),
                     .ends = m->integers(batch, s.sequence),
                     .weights = nullptr,
                     .gradient_scale = m->floats(1),
                     .loss_scale = nullptr,
                     .loss = m->floats(batch),
                     .batch = batch,
                     .per_sequence = s.sequence};
    m->count(static_cast<double>(2 * s.rows) * 4);  // logits are written too
    return make_case(m, x, &KernelTable::span_loss);
}

}  // namespace

std::vector<KernelCaseMaker> loss_cases(const ModelShape& shape, DType dtype) {
    std::vector<KernelCaseMaker> cases{case_of_shape("cross_entropy", shape, dtype, cross_entropy)};
    if (dtype != DType::f32) return cases;
    cases.push_back(case_of_shape("loss_totals", shape, dtype, loss_totals));  // the rest is f32 whatever the storage
    cases.push_back(case_of_shape("squared_error", shape, dtype, squared_error));
    cases.push_back(case_of_shape("span_loss", shape, dtype, span_loss));
    return cases;
}

}  // namespace dropforge
