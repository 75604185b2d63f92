// Elementary functions of vectors, within a few units in the last place of f32, without calls or tables. The
// polynomials are minimax fits (Remez exchange) in the variables that the comments name.
#pragma once

#include "kernels/cpu/simd.h"

namespace dropforge::kernels::on_cpu {

/// c[0] + x (c[1] + x (c[2] + …)).
template <int N>
inline f32v polynomial(f32v x, const float (&c)[N]) {
    f32v y = broadcast(c[N - 1]);
    for (int i = N - 2; i >= 0; --i) y = y * x + c[i];
    return y;
}

/// e^x: relative error < 1.1e-7 where the result is normal; 0 below -104, infinity above 88.73, NaN for NaN.
inline f32v exp(f32v x) {
    // x = n ln 2 + r, |r| ≤ ln 2 / 2; ln 2 in two parts so that n times the first is exact.
    constexpr float kPoly[] = {0.4999999341f, 0.1666652011f, 0.04166839378f, 0.008368780278f,
                               0.001381449627f};  // (e^r - 1 - r) / r²
    constexpr float kRound = 12582912.0f;         // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    x = clamp(x, -104.0f, 89.0f);
    const f32v shifted = x * 1.44269504f + kRound;
    const f32v n = shifted - kRound;
    const f32v r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    const f32v y = (r * r) * polynomial(r, kPoly) + r + 1.0f;
    return times_power_of_2(y, n);
}

/// tanh x: relative error < 3e-7.
inline f32v tanh(f32v x) {
    constexpr float kPoly[] = {-0.33333298f, 0.1333192411f, -0.05378382952f, 0.02079597017f,
                               -0.005895157364f};  // (tanh x - x) / x³ in x²
    const f32v size = abs(x), square = x * x;
    const f32v small = size + size * square * polynomial(square, kPoly);
    const f32v large = 1.0f - 2.0f / (exp(size + size) + 1.0f);
    const f32v y = size < 0.6f ? small : large;
    return std::bit_cast<f32v>(std::bit_cast<u32v>(y) | (std::bit_cast<u32v>(x) & 0x80000000u));
}

struct Normal {
    f32v distribution;  // Φ(x) = (1 + erf(x / √2)) / 2: absolute error < 1e-7
    f32v density;       // φ(x) = e^(-x²/2) / √(2π)
};
/// The standard normal distribution at x. Near 0, Φ(x) = 1/2 + x P(x²); further out it shares the exponential of the
/// density: Φ(-t) = e^(-t²/2) R(t), where R (t + 3) is a polynomial in q = (t - 3) / (t + 3).
inline Normal normal(f32v x) {
    constexpr float kMiddle[] = {0.398942262f,     -0.06649001734f, 0.009971596929f,
                                 -0.001182834411f, 0.000110400361f, -6.660615252e-6f};
    constexpr float kTail[] = {0.7290838238f,   -0.5093352525f,  0.2299652525f,  -0.04748734238f,
                               -0.01077494268f, 0.007194582914f, 0.002097871474f};
    const f32v t = abs(x), square = x * x;
    const f32v e = exp(-0.5f * square);
    const f32v u = reciprocal(t + 3.0f);
    const f32v tail = e * u * polynomial(1.0f - 6.0f * u, kTail);
    const f32v outer = x < 0.0f ? tail : 1.0f - tail;
    return {t < 1.25f ? x * polynomial(square, kMiddle) + 0.5f : outer, e * 0.398942280f};
}

}  // namespace dropforge::kernels::on_cpu
