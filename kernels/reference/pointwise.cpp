// GELU in both forms (Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", section 2), tanh, dropout, column sums.
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/dropout.h"
#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

template <typename Real>
struct Curve {
    Real value, slope;
};

/// x·Φ(x), Φ(x) = (1 + erf(x/√2))/2; slope Φ(x) + x·φ(x), φ(x) = exp(−x²/2)/√(2π).
template <typename Real>
Curve<Real> gelu_erf(Real x) {
    const Real cdf = (1 + std::erf(x / std::numbers::sqrt2_v<Real>)) / 2;
    const Real density = std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<Real> / std::numbers::sqrt2_v<Real>;
    return {x * cdf, cdf + x * density};
}

/// x·(1 + tanh(u))/2, u = √(2/π)·(x + 0.044715·x³); slope (1 + tanh(u))/2 + x·(1 − tanh²(u))·u'/2.
template <typename Real>
Curve<Real> gelu_tanh(Real x) {
    const Real factor = std::numbers::sqrt2_v<Real> * std::numbers::inv_sqrtpi_v<Real>, cubic = Real(0.044715);
    const Real t = std::tanh(factor * (x + cubic * x * x * x));
    const Real inner_slope = factor * (1 + 3 * cubic * x * x);
    return {x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t * t) * inner_slope / 2};
}

template <typename Real>
Curve<Real> gelu(Gelu form, Real x) {
    return form == Gelu::erf ? gelu_erf(x) : gelu_tanh(x);
}

/// dx = dy·slope(saved) for every element, and the column sums of dx; b is a GeluBackward or TanhBackward.
template <typename Real, typename T, typename Backward, typename Slope>
void backward(const Backward& b, const T* saved, Slope slope) {
    const auto* dy = static_cast<const T*>(b.dy);
    auto* dx = static_cast<T*>(b.dx);
    for (int64_t c = 0; c < b.columns; ++c) {
        Real sum = 0;
        for (int64_t i = c; i < b.rows * b.columns; i += b.columns) {
            const Real gradient = get<Real>(dy[i]) * slope(get<Real>(saved[i]));
            dx[i] = put<T>(gradient);
            sum += intermediate<T>(gradient);
        }
        if (b.dx_sum) assign_or_add(b.dx_sum[c], sum, b.accumulate);
    }
}

}  // namespace

template <typename Real>
void gelu_forward(const GeluForward& g, Context&) {
    with_float_type(g.dtype, [&](auto type) {
        using T = decltype(type);
        const auto* x = static_cast<const T*>(g.x);
        for (int64_t i = 0; i < g.n; ++i) static_cast<T*>(g.y)[i] = put<T>(gelu(g.form, get<Real>(x[i])).value);
    });
}

template <typename Real>
void gelu_backward(const GeluBackward& g, Context&) {
    with_float_type(g.dtype, [&](auto type) {
        using T = decltype(type);
        const auto* x = static_cast<const T*>(g.x);
        backward<Real>(g, x, [&](Real at) { return gelu(g.form, at).slope; });
        for (int64_t i = 0; g.y && i < g.rows * g.columns; ++i)
            static_cast<T*>(g.y)[i] = put<T>(gelu(g.form, get<Real>(x[i])).value);
    });
}

template <typename Real>
void tanh_forward(const TanhForward& t, Context&) {
    with_float_type(t.dtype, [&](auto type) {
        using T = decltype(type);
        const auto* x = static_cast<const T*>(t.x);
        for (int64_t i = 0; i < t.n; ++i) static_cast<T*>(t.y)[i] = put<T>(std::tanh(get<Real>(x[i])));
    });
}

template <typename Real>
void tanh_backward(const TanhBackward& t, Context&) {
    with_float_type(t.dtype, [&](auto type) {
        const auto slope = [](Real y) { return 1 - y * y; };
        backward<Real>(t, static_cast<const decltype(type)*>(t.y), slope);
    });
}

template <typename Real>
void dropout(const DropoutRows& d, Context&) {
    const uint64_t row0 = first_row(d.dropout, d.rows_per_sequence);
    with_float_type(d.dtype, [&](auto type) {
        using T = decltype(type);
        for (int64_t r = 0; r < d.rows; ++r) {
            const auto* x = static_cast<const T*>(d.x) + r * d.columns;
            auto* y = static_cast<T*>(d.y) + r * d.columns;
            for (int64_t c = 0; c < d.columns; ++c)
                y[c] =
                    put<T>(get<Real>(x[c]) * get<Real>(dropout_factor(d.dropout, row0 + static_cast<uint64_t>(r), c)));
        }
    });
}

template <typename Real>
void column_sum(const ColumnSum& s, Context&) {
    with_float_type(s.dtype, [&](auto type) {
        const auto* x = static_cast<const decltype(type)*>(s.x);
        for (int64_t c = 0; c < s.columns; ++c) {
            Real sum = 0;
            for (int64_t r = 0; r < s.rows; ++r) sum += get<Real>(x[r * s.stride + c]);
            assign_or_add(s.sum[c], sum, s.accumulate);
        }
    });
}

template void gelu_forward<double>(const GeluForward&, Context&);
template void gelu_forward<float>(const GeluForward&, Context&);
template void gelu_backward<double>(const GeluBackward&, Context&);
template void gelu_backward<float>(const GeluBackward&, Context&);
template void tanh_forward<double>(const TanhForward&, Context&);
template void tanh_forward<float>(const TanhForward&, Context&);
template void tanh_backward<double>(const TanhBackward&, Context&);
template void tanh_backward<float>(const TanhBackward&, Context&);
template void dropout<double>(const DropoutRows&, Context&);
template void dropout<float>(const DropoutRows&, Context&);
template void column_sum<double>(const ColumnSum&, Context&);
template void column_sum<float>(const ColumnSum&, Context&);

}  // namespace dropforge::kernels::loops
