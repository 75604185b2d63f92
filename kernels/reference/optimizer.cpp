// Gradient norm, AdamW (Loshchilov & Hutter 2019, algorithm 2) and LAMB (You et al. 2020, algorithm 2).
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/loops.h"

namespace dropforge::kernels::loops {

namespace {

/// The factor of the gradients: min(1, clip / norm), without an epsilon, divided by the loss scale.
template <typename Real>
Real clip_factor(const Update& u) {
    const auto clip = get<Real>(u.scalars->clip), norm = get<Real>(*u.norm);
    return (clip > 0 && norm > clip ? clip / norm : Real{1}) * get<Real>(u.scalars->gradient_factor);
}

/// Updates both moments of element i by its clipped gradient g and returns m̂/(√v̂ + ε) + wd·p, the direction of AdamW
/// and of LAMB: m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).
template <typename Real>
Real move_moments(const Update& u, int64_t i, Real factor, bool decay) {
    const UpdateScalars& s = *u.scalars;
    const auto beta1 = get<Real>(s.beta1), beta2 = get<Real>(s.beta2);
    const Real g = get<Real>(u.gradients[i]) * factor;
    const Real m = beta1 * get<Real>(u.moment1[i]) + (1 - beta1) * g;
    const Real v = beta2 * get<Real>(u.moment2[i]) + (1 - beta2) * g * g;
    u.moment1[i] = static_cast<float>(m);
    u.moment2[i] = static_cast<float>(v);
    const Real direction =
        m / get<Real>(s.correction1) / (std::sqrt(v / get<Real>(s.correction2)) + get<Real>(s.epsilon));
    return decay ? direction + get<Real>(s.weight_decay) * get<Real>(u.parameters[i]) : direction;
}

/// p ← p − rate·direction, and its 16-bit copy.
template <typename Real>
void step(const Update& u, int64_t i, Real rate, Real direction) {
    u.parameters[i] = static_cast<float>(get<Real>(u.parameters[i]) - rate * direction);
    if (!u.copy) return;
    with_float_type(u.copy_dtype, [&](auto type) {
        using T = decltype(type);
        static_cast<T*>(u.copy)[i] = static_cast<T>(u.parameters[i]);
    });
}

}  // namespace

template <typename Real>
void global_norm(const GlobalNorm& n, Context&) {
    Real squares = 0;
    for (const Segment& s : n.segments)
        for (int64_t i = s.offset; i < s.offset + s.size; ++i)
            squares += get<Real>(n.gradients[i]) * get<Real>(n.gradients[i]);
    *n.norm = static_cast<float>(std::sqrt(squares));
}

void loss_scale(const LossScaleStep& l, Context&) {
    *l.norm /= l.state->scale;
    const LossScale before = *l.state;
    *l.state = before.after(std::isfinite(*l.norm));
    const auto correction = [&](float beta) {
        return static_cast<float>(1 - std::pow(double{beta}, before.updates + 1.0));
    };
    *l.scalars = *l.given;
    l.scalars->correction1 = correction(l.given->beta1);
    l.scalars->correction2 = correction(l.given->beta2);
    l.scalars->gradient_factor = 1 / before.scale;
}

template <typename Real>
void adamw(const Update& u, Context&) {
    if (!std::isfinite(*u.norm)) return;
    const Real factor = clip_factor<Real>(u);
    for (const Segment& s : u.segments) {
        const Real rate = get<Real>(u.scalars->learning_rate) * get<Real>(s.rate);
        for (int64_t i = s.offset; i < s.offset + s.size; ++i) step(u, i, rate, move_moments(u, i, factor, s.decay));
    }
}

/// The learning rate is multiplied by ‖p‖/‖direction‖ per segment: 1 where there is no decay or a norm is 0.
template <typename Real>
void lamb(const Update& u, Context&) {
    if (!std::isfinite(*u.norm)) return;
    const Real factor = clip_factor<Real>(u);
    for (const Segment& s : u.segments) {
        std::vector<Real> direction(static_cast<size_t>(s.size));
        Real weights = 0, directions = 0;
        for (int64_t j = 0; j < s.size; ++j) {
            Real& d = direction[static_cast<size_t>(j)] = move_moments(u, s.offset + j, factor, s.decay);
            const auto p = get<Real>(u.parameters[s.offset + j]);
            weights += p * p;
            directions += d * d;
        }
        const bool scaled = s.decay && weights > 0 && directions > 0;
        const Real ratio = scaled ? std::sqrt(weights) / std::sqrt(directions) : Real{1};
        const Real rate = get<Real>(u.scalars->learning_rate) * get<Real>(s.rate) * ratio;
        for (int64_t j = 0; j < s.size; ++j) step(u, s.offset + j, rate, direction[static_cast<size_t>(j)]);
    }
}

template void global_norm<double>(const GlobalNorm&, Context&);
template void global_norm<float>(const GlobalNorm&, Context&);
template void adamw<double>(const Update&, Context&);
template void adamw<float>(const Update&, Context&);
template void lamb<double>(const Update&, Context&);
template void lamb<float>(const Update&, Context&);

}  // namespace dropforge::kernels::loops
