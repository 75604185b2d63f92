// Parameters::initialize(): the values that a run starts from (docs/algorithms.md, "Initial weights").

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/philox.h"
#include "model/network/parameters.h"

namespace dropforge {

namespace {

/// Standard deviation of a standard normal cut at ±2: √(1 − 4φ(2)/(2Φ(2) − 1)).
constexpr double kCutDeviation = 0.87962566103423978;
/// Standard deviation of mimetic query and key weights at this hidden size; at others it goes with 1/√hidden.
constexpr double kQueryDeviation = 0.08, kQueryHidden = 128;
/// Standard deviation of mimetic position embeddings in multiples of initializer_range: next to word embeddings that
/// have that, most of what a position begins with is where it is.
constexpr double kPositionScale = 3;

/// A standard normal cut at ±2 (Box–Muller, redrawn outside).
float truncated_normal(PhiloxStream& stream) {
    while (true) {
        const double u = 1.0 - stream.uniform(), v = stream.uniform();
        const double x = std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
        if (std::abs(x) <= 2) return static_cast<float>(x);
    }
}

uint64_t hash(const std::string& text) {  // FNV-1a
    uint64_t h = 0xcbf29ce484222325u;
    for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
    return h;
}

/// σ before the cut of mimetic query weights.
float query_scale(int64_t hidden) {
    const double deviation = kQueryDeviation * std::sqrt(kQueryHidden / static_cast<double>(hidden));
    return static_cast<float>(deviation / kCutDeviation);
}

void draw(float* values, int64_t count, float scale, uint64_t seed, const std::string& name) {
    PhiloxStream stream(seed, hash(name));
    for (int64_t i = 0; i < count; ++i) values[i] = scale * truncated_normal(stream);
}

/// Sinusoids [positions, hidden] less the mean of their column, scaled to the standard deviation `deviation`.
void fill_sinusoids(float* values, int64_t positions, int64_t hidden, double deviation) {
    std::vector<double> waves(static_cast<size_t>(positions * hidden));
    const auto wave = [&](int64_t p, int64_t c) -> double& { return waves[static_cast<size_t>(p * hidden + c)]; };
    double squares = 0;
    for (int64_t c = 0; c < hidden; ++c) {
        const int64_t pair = c - c % 2;
        const double rate = std::pow(10000.0, -static_cast<double>(pair) / static_cast<double>(hidden));
        double sum = 0;
        for (int64_t p = 0; p < positions; ++p) {
            const double angle = static_cast<double>(p) * rate;
            sum += wave(p, c) = c % 2 == 0 ? std::sin(angle) : std::cos(angle);
        }
        for (int64_t p = 0; p < positions; ++p) {
            wave(p, c) -= sum / static_cast<double>(positions);
            squares += wave(p, c) * wave(p, c);
        }
    }
    const double scale = deviation / std::sqrt(squares / static_cast<double>(waves.size()));
    std::ranges::transform(waves, values, [&](double x) { return static_cast<float>(scale * x); });
}

}  // namespace

void Parameters::initialize(float* arena, uint64_t seed) const {
    const bool mimetic = config_.init == InitialWeights::mimetic;
    for (const HfTensor& t : tensors_) {
        float* values = arena + t.offset;
        const int64_t n = t.shape.size();
        const bool wide = mimetic && t.name.ends_with("self.query.weight");
        if (t.decay)
            draw(values, n, wide ? query_scale(config_.hidden) : config_.initializer_range, seed, t.name);
        else
            std::fill(values, values + n, t.name.ends_with("LayerNorm.weight") ? 1.0f : 0.0f);
    }
    if (!mimetic) return;
    const auto values = [&](Index p) { return arena + entries_[static_cast<size_t>(p)].offset; };
    fill_sinusoids(values(position), config_.max_positions, config_.hidden, kPositionScale * config_.initializer_range);
    const int64_t part = config_.hidden * config_.hidden;  // of the fused qkv
    for (const Layer& layer : layers) std::copy_n(values(layer.qkv.weight), part, values(layer.qkv.weight) + part);
}

}  // namespace dropforge
