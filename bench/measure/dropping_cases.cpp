// Cases of `bench kernels` for moving, choosing and comparing rows.
#include "bench/measure/kernel_memory.h"

namespace dropforge {

using namespace kernels;

namespace {

double bytes_of(int64_t elements, DType dtype) {
    return static_cast<double>(elements) * static_cast<double>(size_of(dtype));
}

// ---------------------------------------------------------------------------------------------------------------- rows
/// Half of each sequence's rows, as token dropping keeps them.
const int32_t* kept_rows(const ModelShape& s, KernelMemory& m) {
    const int64_t count = s.sequence / 2, n = s.rows / 2;
    std::vector<int32_t> index(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) index[static_cast<size_t>(i)] = static_cast<int32_t>(i % count * 2 + i * 7 % 5 % 2);
    return m.stored<int32_t>(index);
}
KernelCase gather_rows(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t kept = s.rows / 2 * s.hidden;
    const GatherRows g{.from = m->scratch(s.rows * s.hidden * 4),
                       .index = kept_rows(s, *m),
                       .to = m->values(kept),
                       .batch = s.rows / s.sequence,
                       .count = s.sequence / 2,
                       .per_sequence = s.sequence,
                       .columns = s.hidden,
                       .dtype = dtype};
    m->count(static_cast<double>(kept) * static_cast<double>(size_of(dtype)));
    return make_case(m, g, &KernelTable::gather_rows);
}
KernelCase scatter_rows(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const ScatterRows r{.from = m->values(s.rows / 2 * s.hidden),
                        .index = kept_rows(s, *m),
                        .to = m->values(s.rows * s.hidden),
                        .batch = s.rows / s.sequence,
                        .count = s.sequence / 2,
                        .per_sequence = s.sequence,
                        .columns = s.hidden,
                        .dtype = dtype,
                        .accumulate = false,
                        .clear = true};
    return make_case(m, r, &KernelTable::scatter_rows);
}
KernelCase merge_rows(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows * s.hidden;
    const MergeRows r{.rows = m->values(n / 2),
                      .index = kept_rows(s, *m),
                      .rest = m->scratch(n * 4),
                      .all = m->values(n),
                      .batch = s.rows / s.sequence,
                      .count = s.sequence / 2,
                      .per_sequence = s.sequence,
                      .columns = s.hidden,
                      .dtype = dtype};
    m->count(bytes_of(n / 2, dtype));  // half of `rest` is read
    return make_case(m, r, &KernelTable::merge_rows);
}
KernelCase split_rows(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows * s.hidden;
    const SplitRows r{.all = m->values(n),
                      .index = kept_rows(s, *m),
                      .rows = m->values(n / 2),
                      .rest = m->values(n),
                      .batch = s.rows / s.sequence,
                      .count = s.sequence / 2,
                      .per_sequence = s.sequence,
                      .columns = s.hidden,
                      .dtype = dtype,
                      .accumulate = false};
    return make_case(m, r, &KernelTable::split_rows);
}
KernelCase add(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t n = s.rows * s.hidden;
    const Add a{.to = m->values(n), .x = m->values(n), .n = n, .dtype = dtype};
    m->count(bytes_of(n, dtype));  // read and written
    return make_case(m, a, &KernelTable::add);
}

// ------------------------------------------------------------------------------------------------------ token dropping
KernelCase token_values(const ModelShape& s, const KernelMemoryPtr& m, bool noise) {
    const TokenValues t{.ids = m->integers(s.rows, s.vocabulary),
                        .table = static_cast<float*>(m->scratch(s.vocabulary * 4)),
                        .noise = noise ? m->dropout().state : nullptr,
                        .values = m->floats(s.rows),
                        .batch = s.rows / s.sequence,
                        .sequence = s.sequence,
                        .site = 1};
    m->count(bytes_of(s.rows, DType::f32));  // of the table
    return make_case(m, t, &KernelTable::token_values);
}
KernelCase top_k(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const int64_t batch = s.rows / s.sequence;
    const TopK k{.values = m->floats(s.rows, 0, 12),
                 .lengths = nullptr,
                 .kept = m->integers(s.rows / 2, 1),
                 .kept_lengths = m->integers(batch, 1),
                 .batch = batch,
                 .sequence = s.sequence,
                 .keep = s.sequence / 2};
    return make_case(m, k, &KernelTable::top_k);
}
KernelCase importance_sums(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const ImportanceSums x{.labels = m->integers(s.masked, s.vocabulary),
                           .weights = m->floats(s.masked, 1, 1),
                           .loss = m->floats(s.masked, 0, 12),
                           .sums = m->floats(s.vocabulary),
                           .counts = m->floats(s.vocabulary),
                           .n = s.masked,
                           .vocabulary = s.vocabulary,
                           .accumulate = false};
    return make_case(m, x, &KernelTable::importance_sums);
}
KernelCase importance_update(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    std::vector<float> counts(static_cast<size_t>(s.vocabulary));
    for (int64_t i = 0; i < s.masked; ++i) counts[static_cast<size_t>(i * s.vocabulary / s.masked)] = 1;
    const ImportanceUpdate u{.sums = m->floats(s.vocabulary, 0, 12),
                             .counts = m->stored<float>(counts),
                             .table = m->floats(s.vocabulary, 0, 12),
                             .norm = m->floats(1, 1, 2),
                             .fixed = {},
                             .vocabulary = s.vocabulary,
                             .beta = 0.995};
    return make_case(m, u, &KernelTable::importance_update);
}

// ------------------------------------------------------------------------------------------------ semantic consistency
KernelCase pool_forward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t batch = s.rows / s.sequence;
    const PoolForward p{.x = m->values(s.rows * s.hidden),
                        .lengths = nullptr,
                        .pooled = m->floats(batch * s.hidden),
                        .batch = batch,
                        .per_sequence = s.sequence,
                        .columns = s.hidden,
                        .count = s.sequence,
                        .dtype = dtype};
    return make_case(m, p, &KernelTable::pool_forward);
}
KernelCase pool_backward(const ModelShape& s, const KernelMemoryPtr& m, DType dtype) {
    const int64_t batch = s.rows / s.sequence;
    const PoolBackward p{.dpooled = m->floats(batch * s.hidden),
                         .lengths = nullptr,
                         .dx = m->values(s.rows * s.hidden),
                         .batch = batch,
                         .per_sequence = s.sequence,
                         .columns = s.hidden,
                         .count = s.sequence,
                         .dtype = dtype,
                         .accumulate = false};
    return make_case(m, p, &KernelTable::pool_backward);
}
KernelCase kl_divergence(const ModelShape& s, const KernelMemoryPtr& m, DType) {
    const int64_t rows = s.rows / s.sequence, n = rows * s.hidden;
    const KlDivergence k{.target = m->floats(n),
                         .input = m->floats(n),
                         .gradient_scale = m->floats(1),
                         .loss_scale = nullptr,
                         .kl = m->floats(rows),
                         .dtarget = m->floats(n),
                         .dinput = m->floats(n),
                         .rows = rows,
                         .columns = s.hidden};
    return make_case(m, k, &KernelTable::kl_divergence);
}

}  // namespace

std::vector<KernelCaseMaker> dropping_cases(const ModelShape& shape, DType dtype) {
    std::vector<KernelCaseMaker> cases;
    const auto add_of_shape = [&](const std::string& name, CaseOfShape build) {
        cases.push_back(case_of_shape(name, shape, dtype, build));
    };
    add_of_shape("gather_rows", gather_rows);
    add_of_shape("scatter_rows", scatter_rows);
    add_of_shape("merge_rows", merge_rows);
    add_of_shape("split_rows", split_rows);
    add_of_shape("add", add);
    add_of_shape("pool_forward", pool_forward);
    add_of_shape("pool_backward", pool_backward);
    if (dtype != DType::f32) return cases;
    add_of_shape("kl_divergence", kl_divergence);  // the rest is f32 whatever the storage
    add_of_shape("token_values",
                 [](const ModelShape& s, const KernelMemoryPtr& m, DType) { return token_values(s, m, false); });
    add_of_shape("token_values noise",
                 [](const ModelShape& s, const KernelMemoryPtr& m, DType) { return token_values(s, m, true); });
    add_of_shape("top_k", top_k);
    add_of_shape("importance_sums", importance_sums);
    add_of_shape("importance_update", importance_update);
    return cases;
}

}  // namespace dropforge
