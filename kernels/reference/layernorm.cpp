// z = dropout(x) + residual, y = LayerNorm(z) (Ba et al. 2016, "Layer Normalization"), and its backward.
#include <cmath>
#include <vector>

#include "kernels/dropout.h"
#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

template <typename Real>
Moments<Real> moments(const Real* z, int64_t columns, float epsilon) {
    const auto n = static_cast<Real>(columns);
    Real sum = 0, squares = 0;
    for (int64_t c = 0; c < columns; ++c) sum += z[c];
    const Real mean = sum / n;
    for (int64_t c = 0; c < columns; ++c) squares += (z[c] - mean) * (z[c] - mean);
    return {mean, 1 / std::sqrt(squares / n + static_cast<Real>(epsilon))};
}

template <typename Real>
void layernorm_input_gradient(Real* g, const Real* normalized, Real rstd, int64_t columns) {
    const auto n = static_cast<Real>(columns);
    Real sum = 0, sum_normalized = 0;
    for (int64_t c = 0; c < columns; ++c) {
        sum += g[c];
        sum_normalized += g[c] * normalized[c];
    }
    for (int64_t c = 0; c < columns; ++c) g[c] = rstd * (g[c] - sum / n - normalized[c] * (sum_normalized / n));
}

namespace {

template <typename Real, typename T>
void forward(const LayerNormForward& l) {
    const auto* x = static_cast<const T*>(l.x);
    const auto* residual = static_cast<const T*>(l.residual);
    auto* saved = static_cast<T*>(l.z);
    auto* y = static_cast<T*>(l.y);
    const uint64_t row0 = first_row(l.dropout, l.rows_per_sequence);
    std::vector<Real> z(static_cast<size_t>(l.columns));
    for (int64_t r = 0; r < l.rows; ++r) {
        const int64_t at = r * l.columns;
        for (int64_t c = 0; c < l.columns; ++c) {
            const auto factor = static_cast<Real>(dropout_factor(l.dropout, row0 + static_cast<uint64_t>(r), c));
            z[static_cast<size_t>(c)] =
                get<Real>(x[at + c]) * factor + (residual ? get<Real>(residual[at + c]) : Real{0});
        }
        for (int64_t c = 0; saved && c < l.columns; ++c) saved[at + c] = put<T>(z[static_cast<size_t>(c)]);
        for (Real& value : z) value = intermediate<T>(value);
        const auto [mean, rstd] = moments(z.data(), l.columns, l.epsilon);
        l.mean[r] = static_cast<float>(mean);
        l.rstd[r] = static_cast<float>(rstd);
        for (int64_t c = 0; c < l.columns; ++c) {
            const Real normalized = (z[static_cast<size_t>(c)] - mean) * rstd;
            y[at + c] = put<T>(get<Real>(l.gain[c]) * normalized + get<Real>(l.bias[c]));
        }
    }
}

/// dgain = Σ_rows dy·ẑ, dbias = Σ_rows dy, dx = dropout factor · dz.
template <typename Real, typename T>
void backward(const LayerNormBackward& l) {
    const auto* dy = static_cast<const T*>(l.dy);
    const auto* z = static_cast<const T*>(l.z);
    auto* dz = static_cast<T*>(l.dz);
    auto* dx = static_cast<T*>(l.dx);
    const uint64_t row0 = first_row(l.dropout, l.rows_per_sequence);
    const auto columns = static_cast<size_t>(l.columns);
    std::vector<Real> dgain(columns), dbias(columns), dx_sum(columns), g(columns), normalized(columns);
    for (int64_t r = 0; r < l.rows; ++r) {
        const int64_t at = r * l.columns;
        const auto mean = get<Real>(l.mean[r]), rstd = get<Real>(l.rstd[r]);
        for (size_t c = 0; c < columns; ++c) {
            const auto i = at + static_cast<int64_t>(c);
            const auto gradient = get<Real>(dy[i]);
            normalized[c] = (get<Real>(z[i]) - mean) * rstd;
            dgain[c] += gradient * normalized[c];
            dbias[c] += gradient;
            g[c] = gradient * get<Real>(l.gain[c]);
        }
        layernorm_input_gradient(g.data(), normalized.data(), rstd, l.columns);
        for (size_t c = 0; c < columns; ++c) {
            const auto i = at + static_cast<int64_t>(c);
            const Real before = intermediate<T>(g[c]);
            const auto row = row0 + static_cast<uint64_t>(r);
            const Real through = before * static_cast<Real>(dropout_factor(l.dropout, row, static_cast<int64_t>(c)));
            dz[i] = put<T>(before);
            if (dx) dx[i] = put<T>(through);
            dx_sum[c] += intermediate<T>(through);
        }
    }
    for (size_t c = 0; c < columns; ++c) {
        assign_or_add(l.dgain[c], dgain[c], l.accumulate);
        assign_or_add(l.dbias[c], dbias[c], l.accumulate);
        if (l.dx_sum) assign_or_add(l.dx_sum[c], dx_sum[c], l.accumulate);
    }
}

}  // namespace

template <typename Real>
void layernorm_forward(const LayerNormForward& l, Context&) {
    with_float_type(l.dtype, [&](auto type) { forward<Real, decltype(type)>(l); });
}

template <typename Real>
void layernorm_backward(const LayerNormBackward& l, Context&) {
    with_float_type(l.dtype, [&](auto type) { backward<Real, decltype(type)>(l); });
}

template Moments<double> moments(const double*, int64_t, float);
template Moments<float> moments(const float*, int64_t, float);
template void layernorm_input_gradient(double*, const double*, double, int64_t);
template void layernorm_input_gradient(float*, const float*, float, int64_t);
template void layernorm_forward<double>(const LayerNormForward&, Context&);
template void layernorm_forward<float>(const LayerNormForward&, Context&);
template void layernorm_backward<double>(const LayerNormBackward&, Context&);
template void layernorm_backward<float>(const LayerNormBackward&, Context&);

}  // namespace dropforge::kernels::loops
