// LayerNorm of one row, forward and backward, for any source of rows: layernorm.cpp reads them, embedding.cpp sums them
// from tables. A source is a function (column, Full or Part) -> f32v that returns 0 in lanes past the end.
#pragma once

#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

struct Moments {
    float mean, rstd;
};

/// The sum of a row, spread over the lanes: the first of two passes.
template <typename Source>
inline f32v lane_sums(int64_t columns, Source&& z) {
    f32v total{};
    for_columns(columns, [&](int64_t j, auto count) { total += z(j, count); });
    return total;
}
/// The second pass: the variance is the mean of squared deviations from the mean, which follows from lane_sums'
/// `total`.
template <typename Source>
inline Moments moments(int64_t columns, float epsilon, f32v total, Source&& z) {
    f32v squares{};
    const auto mean = static_cast<float>(double_sum(total) / static_cast<double>(columns));
    for_columns(columns, [&](int64_t j, auto count) {
        const f32v deviation = only(count, z(j, count) - mean);
        squares += deviation * deviation;
    });
    const double variance = double_sum(squares) / static_cast<double>(columns);
    return {mean, static_cast<float>(1.0 / std::sqrt(variance + epsilon))};
}

/// gain * (z - mean) * rstd + bias at one vector of columns.
template <typename Count>
inline f32v normalize(f32v z, Moments m, const float* gain, const float* bias, Count count) {
    return load(gain, count) * ((z - m.mean) * m.rstd) + load(bias, count);
}

/// Calls out(column, count, gradient at z) for the whole row and adds the row's share to dgain and dbias. Both sources
/// are read twice; out may overwrite what they read at its own columns.
template <typename Source, typename Gradient, typename Out>
inline void layernorm_backward_row(int64_t columns, Moments m, const float* gain, float* dgain, float* dbias,
                                   Source&& z, Gradient&& dy, Out&& out) {
    f32v total{}, along{};
    for_columns(columns, [&](int64_t j, auto count) {
        const f32v gradient = dy(j, count), normalized = (z(j, count) - m.mean) * m.rstd;
        add_to(dgain + j, gradient * normalized, count);
        add_to(dbias + j, gradient, count);
        const f32v scaled = gradient * load(gain + j, count);
        total += scaled;
        along += scaled * normalized;
    });
    const float mean_total = sum(total) / static_cast<float>(columns);
    const float mean_along = sum(along) / static_cast<float>(columns);
    for_columns(columns, [&](int64_t j, auto count) {
        const f32v normalized = (z(j, count) - m.mean) * m.rstd;
        const f32v scaled =
            unfused(dy(j, count) * load(gain + j, count));  // rounded as in mean_total, so that equal terms give 0
        out(j, count, m.rstd * (scaled - mean_total - normalized * mean_along));
    });
}

}  // namespace dropforge::kernels::on_cpu
