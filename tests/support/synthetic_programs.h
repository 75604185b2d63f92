// Programs without kernels, for tests of the planner: shaped like transformer training, or random.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "engine/program.h"

namespace dropforge {

inline void no_kernel(const Run&) {}

/// Sizes of a synthetic encoder's training step, in elements.
struct SyntheticShape {
    int64_t layers, rows, hidden, heads, sequence, vocabulary;
};

/// L layers forward that save activations, a head with large logits, and the backward that frees them; scratch at
/// attention and norms, pointwise gradients in place: the table of a layer in docs/architecture.md.
inline Program synthetic_training(const SyntheticShape& s) {
    Program p("synthetic");
    const auto activation = [&](const std::string& name, int64_t columns) {
        return p.planned(name, DType::bf16, {s.rows, columns});
    };
    const auto statistic = [&](const std::string& name, int64_t columns) {
        return p.planned(name, DType::f32, {s.rows, columns});
    };
    struct Saved {
        Tensor x, qkv, o, lse, z1, stats1, x1, u, a, z2, stats2;
    };
    std::vector<Saved> saved;
    Tensor x = activation("embedding/x", s.hidden);
    p.add("embedding", {{}, {x}}, no_kernel);
    for (int64_t l = 0; l < s.layers; ++l) {
        const Program::Scope scope(p, "layer" + std::to_string(l));
        Saved t;
        t.x = x;
        t.qkv = activation("qkv", 3 * s.hidden);
        p.add("qkv", {{x}, {t.qkv}}, no_kernel);
        t.o = activation("o", s.hidden);
        t.lse = statistic("lse", s.heads);
        const Tensor scores = p.scratch("attention.scratch", 2 * s.sequence * s.sequence * 4);
        p.add("attention", {{t.qkv}, {t.o, t.lse, scores}}, no_kernel);
        const Tensor projected = activation("p", s.hidden);
        p.add("projection", {{t.o}, {projected}}, no_kernel);
        t.z1 = activation("z1", s.hidden);
        t.x1 = activation("x1", s.hidden);
        t.stats1 = statistic("stats1", 2);
        p.add("norm1", {{projected, x}, {t.z1, t.x1, t.stats1}, {{t.z1, projected}}}, no_kernel);
        t.u = activation("u", 4 * s.hidden);
        p.add("fc1", {{t.x1}, {t.u}}, no_kernel);
        t.a = activation("a", 4 * s.hidden);
        p.add("gelu", {{t.u}, {t.a}}, no_kernel);
        const Tensor f = activation("f", s.hidden);
        p.add("fc2", {{t.a}, {f}}, no_kernel);
        t.z2 = activation("z2", s.hidden);
        t.stats2 = statistic("stats2", 2);
        x = activation("y", s.hidden);
        p.add("norm2", {{f, t.x1}, {t.z2, x, t.stats2}, {{t.z2, f}}}, no_kernel);
        saved.push_back(t);
    }
    const Tensor masked = p.planned("head/masked", DType::bf16, {s.rows / 6, s.hidden});
    p.add("head/gather", {{x}, {masked}}, no_kernel);
    const Tensor logits = p.planned("head/logits", DType::bf16, {s.rows / 6, s.vocabulary});
    p.add("head/decoder", {{masked}, {logits}}, no_kernel);
    p.add("head/loss", {{logits}, {logits}}, no_kernel);
    const Tensor dmasked = p.planned("head/dmasked", DType::bf16, {s.rows / 6, s.hidden});
    p.add("head/decoder.backward", {{logits, masked}, {dmasked}}, no_kernel);
    Tensor dy = activation("head/dx", s.hidden);
    p.add("head/scatter", {{dmasked}, {dy}}, no_kernel);
    for (int64_t l = s.layers - 1; l >= 0; --l) {
        const Program::Scope scope(p, "layer" + std::to_string(l));
        const Saved& t = saved[static_cast<size_t>(l)];
        const Tensor sums2 = p.scratch("norm2.scratch", 64 * 2 * s.hidden * 4);
        const Tensor dz2 = activation("dz2", s.hidden), df = activation("df", s.hidden);
        p.add("norm2.backward", {{dy, t.z2, t.stats2}, {dz2, df, sums2}, {{dz2, dy}}}, no_kernel);
        p.add("fc2.weight", {{t.a, df}, {}}, no_kernel);
        const Tensor da = activation("da", 4 * s.hidden);
        p.add("fc2.backward", {{df}, {da}}, no_kernel);
        const Tensor sums = p.scratch("gelu.scratch", 64 * 4 * s.hidden * 4);
        const Tensor du = activation("du", 4 * s.hidden);
        p.add("gelu.backward", {{da, t.u}, {du, sums}, {{du, da}}}, no_kernel);
        p.add("fc1.weight", {{t.x1, du}, {}}, no_kernel);
        p.add("fc1.backward", {{du, dz2}, {dz2}}, no_kernel);
        const Tensor sums1 = p.scratch("norm1.scratch", 64 * 2 * s.hidden * 4);
        const Tensor dz1 = activation("dz1", s.hidden), dp = activation("dp", s.hidden);
        p.add("norm1.backward", {{dz2, t.z1, t.stats1}, {dz1, dp, sums1}, {{dz1, dz2}}}, no_kernel);
        p.add("projection.weight", {{t.o, dp}, {}}, no_kernel);
        const Tensor dout = activation("do", s.hidden);
        p.add("projection.backward", {{dp}, {dout}}, no_kernel);
        const Tensor dqkv = activation("dqkv", 3 * s.hidden);
        const Tensor scores = p.scratch("attention.backward.scratch", 4 * s.sequence * s.sequence * 4);
        p.add("attention.backward", {{dout, t.qkv, t.o, t.lse}, {dqkv, scores}}, no_kernel);
        p.add("qkv.weight", {{t.x, dqkv}, {}}, no_kernel);
        p.add("qkv.backward", {{dqkv, dz1}, {dz1}}, no_kernel);
        dy = dz1;
    }
    p.add("embedding.backward", {{dy}, {}}, no_kernel);
    return p;
}

/// A random program: ops read some of what has been written, write new storages (a few of them in place of an input, a
/// few scratch) and add to old ones. Sizes span five powers of ten; some storages are never read, some have 0 bytes.
inline Program random_program(uint64_t seed, uint32_t ops) {
    PhiloxStream random(seed, 0x7a);
    Program p("random" + std::to_string(seed));
    const Tensor input = p.bound("input", DType::f32, {16});
    std::vector<Tensor> written;
    for (uint32_t i = 0; i < ops; ++i) {
        const Program::Scope scope(p, "op" + std::to_string(i));
        Access access{{input}, {}};
        const auto old = [&] {  // mostly recent ones, so that lives end
            const uint32_t n = static_cast<uint32_t>(written.size()),
                           back = random.below(random.below(4) == 0 ? n : std::min(n, 8u));
            return written[n - 1 - back];
        };
        const auto size = [&] {
            const double most = 100 * std::pow(10, random.below(5));
            return random.below(50) == 0 ? 0 : 1 + random.below(static_cast<uint32_t>(most));
        };
        for (uint32_t r = random.below(4); r > 0 && !written.empty(); --r) access.reads.push_back(old());
        if (!written.empty() && random.below(5) == 0) {  // accumulate
            const Tensor sum = old();
            access.reads.push_back(sum);
            access.writes.push_back(sum);
        }
        std::vector<Tensor> born;
        for (uint32_t w = 1 + random.below(3); w > 0; --w) {
            Tensor output = p.planned("out" + std::to_string(w), DType::bf16, {size()});
            if (access.reads.size() > 1 && random.below(2) == 0) {
                const Tensor& from = access.reads[1 + random.below(static_cast<uint32_t>(access.reads.size()) - 1)];
                if (random.below(2) == 0) output = p.planned("same" + std::to_string(w), DType::bf16, from.shape);
                access.inplace.emplace_back(output, from);
            }
            access.writes.push_back(output);
            born.push_back(output);
        }
        access.writes.push_back(p.scratch("scratch", static_cast<int64_t>(size())));
        p.add("run", access, no_kernel);
        written.insert(written.end(), born.begin(), born.end());
    }
    return p;
}

}  // namespace dropforge
