// The weights that a run starts from: those of BERT, bit for bit what they have always been, and mimetic ones.
#include <doctest/doctest.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "model/network/parameters.h"

using namespace dropforge;

namespace {

struct Sizes {
    int64_t hidden, layers, heads, positions;
};

BertConfig config_of(const Sizes& sizes, InitialWeights init) {
    BertConfig config;
    config.vocabulary = 203;
    config.hidden = sizes.hidden;
    config.layers = sizes.layers;
    config.heads = sizes.heads;
    config.intermediate = 2 * sizes.hidden;
    config.max_positions = sizes.positions;
    config.init = init;
    return config;
}

constexpr Sizes kSmall{.hidden = 48, .layers = 2, .heads = 3, .positions = 40};

std::vector<float> initial(const Parameters& parameters, uint64_t seed) {
    std::vector<float> arena(static_cast<size_t>(parameters.size()));
    parameters.initialize(arena.data(), seed);
    return arena;
}

/// One of Hugging Face's tensors in an arena.
std::vector<float> tensor(const Parameters& parameters, const std::vector<float>& arena, const std::string& name) {
    for (const HfTensor& t : parameters.tensors())
        if (t.name == name) return {arena.begin() + t.offset, arena.begin() + t.offset + t.shape.size()};
    FAIL("no tensor ", name);
    return {};
}

std::string attention(int64_t layer, const char* part) {
    return "bert.encoder.layer." + std::to_string(layer) + ".attention.self." + part + ".weight";
}

struct Moments {
    double count, mean, deviation;
};

Moments moments(const std::vector<float>& values) {
    const auto count = static_cast<double>(values.size());
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    double squares = 0;
    for (const float x : values) squares += (x - mean) * (x - mean);
    return {count, mean, std::sqrt(squares / count)};
}

/// Row p: sin and cos of p/10000^(2i/hidden) in turn (Vaswani et al. 2017, section 3.5), less their mean over all rows,
/// scaled to a standard deviation.
std::vector<double> centred_sinusoids(int64_t positions, int64_t hidden, double deviation) {
    std::vector<double> rows;
    for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < hidden; ++c) {
            const double angle =
                static_cast<double>(p) / std::pow(1e4, 2 * std::floor(c / 2.0) / static_cast<double>(hidden));
            rows.push_back(c % 2 == 0 ? std::sin(angle) : std::cos(angle));
        }
    const auto at = [&](int64_t p, int64_t c) -> double& { return rows[static_cast<size_t>(p * hidden + c)]; };
    for (int64_t c = 0; c < hidden; ++c) {
        double mean = 0;
        for (int64_t p = 0; p < positions; ++p) mean += at(p, c) / static_cast<double>(positions);
        for (int64_t p = 0; p < positions; ++p) at(p, c) -= mean;
    }
    const double squares = std::inner_product(rows.begin(), rows.end(), rows.begin(), 0.0);
    for (double& x : rows) x *= deviation / std::sqrt(squares / static_cast<double>(rows.size()));
    return rows;
}

const std::string kPositions = "bert.embeddings.position_embeddings.weight";

}  // namespace

TEST_CASE("normal: the bits that every earlier run started from") {
    const Parameters parameters(config_of(kSmall, InitialWeights::normal), {mlm_head(), nsp_head()});
    const std::vector<float> arena = initial(parameters, 7);
    CHECK(XXH64(arena.data(), arena.size() * sizeof(float), 0) == 1111302388982753091u);
}

TEST_CASE("mimetic: query and key of a layer are the same bits, with the standard deviation 0.08·√(128/hidden)") {
    for (const Sizes& sizes : {kSmall, Sizes{128, 2, 2, 128}, Sizes{256, 1, 4, 512}, Sizes{512, 1, 1, 33}}) {
        CAPTURE(sizes.hidden);
        const Parameters parameters(config_of(sizes, InitialWeights::mimetic), {mlm_head()});
        const std::vector<float> arena = initial(parameters, 7);
        const double deviation = 0.08 * std::sqrt(128.0 / static_cast<double>(sizes.hidden));
        std::vector<std::vector<float>> seen;
        for (int64_t layer = 0; layer < sizes.layers; ++layer) {
            const std::vector<float> query = tensor(parameters, arena, attention(layer, "query"));
            CHECK(tensor(parameters, arena, attention(layer, "key")) == query);
            CHECK(std::ranges::count(seen, query) == 0);
            seen.push_back(query);
            // Four standard errors: σ/√n of the mean, at most σ/√(2n) of the deviation, as that of an uncut normal.
            const Moments m = moments(query);
            CHECK(std::abs(m.mean) <= 4 * deviation / std::sqrt(m.count));
            CHECK(std::abs(m.deviation - deviation) <= 4 * deviation / std::sqrt(2 * m.count));
            // A normal cut at ±2 of its own σ, which is 1/0.8796 of what the cut leaves.
            CHECK(std::abs(*std::ranges::max_element(query, {}, [](float x) { return std::abs(x); })) <=
                  2 * deviation / 0.8796);
        }
    }
}

TEST_CASE("mimetic: position embeddings are centred sinusoids with a standard deviation of 3·initializer_range") {
    for (const Sizes& sizes : {kSmall, Sizes{128, 1, 2, 128}, Sizes{45, 1, 1, 7}, Sizes{1, 1, 1, 2}}) {
        CAPTURE(sizes.hidden);
        BertConfig config = config_of(sizes, InitialWeights::mimetic);
        config.initializer_range = 0.03f;
        const Parameters parameters(config, {mlm_head()});
        const std::vector<float> rows = tensor(parameters, initial(parameters, 7), kPositions);
        const std::vector<double> expected = centred_sinusoids(sizes.positions, sizes.hidden, 3.0 * 0.03f);
        REQUIRE(rows.size() == expected.size());
        // Rounding to f32, and that of angles up to `positions` and of sums over as many in f64.
        const double slack = static_cast<double>(sizes.positions) * 0x1p-50;
        for (size_t i = 0; i < rows.size(); ++i)
            CHECK(std::abs(static_cast<double>(rows[i]) - expected[i]) <= std::abs(expected[i]) * 0x1p-24 + slack);
        CHECK(std::abs(moments(rows).deviation - 0.09) <= 0.09 * 0x1p-23);
    }
}

TEST_CASE("mimetic: everything else is as normal has it; the seed decides what is drawn, and nothing but it") {
    const Heads heads{mlm_head(), nsp_head()};
    const Parameters mimetic(config_of(kSmall, InitialWeights::mimetic), heads),
        normal(config_of(kSmall, InitialWeights::normal), heads);
    const std::vector<float> first = initial(mimetic, 7), other = initial(mimetic, 8), plain = initial(normal, 7);
    CHECK(initial(mimetic, 7) == first);
    int changed = 0;
    for (const HfTensor& t : mimetic.tensors()) {
        CAPTURE(t.name);
        const bool own = t.name == kPositions || t.name.ends_with("query.weight") || t.name.ends_with("key.weight");
        CHECK((tensor(mimetic, first, t.name) != tensor(normal, plain, t.name)) == own);
        CHECK((tensor(mimetic, first, t.name) != tensor(mimetic, other, t.name)) == (t.decay && t.name != kPositions));
        changed += own ? 1 : 0;
    }
    CHECK(changed == 1 + 2 * kSmall.layers);
}
