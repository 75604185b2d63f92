// Drops tokens little by little, where Hou et al. 2022 drop half of them at once: an example of a routing
// (docs/new-routing.md).
#pragma once

#include <algorithm>
#include <vector>

#include "model/methods/routing.h"

namespace dropforge {

/// From layer 1 on, each layer works on a quarter of the sequence less than the one before, until `keep` tokens are
/// left: of 128, with keep = 40, on 128, 96, 64, 40, 40 … 40, and on all 128 again in the last. Those stay whose ids
/// were hard to predict, as with ImportanceRouting.
class PyramidRouting final : public Routing {
    std::vector<float> table(int64_t vocabulary, std::span<const int64_t>) const override {
        return std::vector<float>(static_cast<size_t>(vocabulary), 10.0f);
    }

    bool learns() const override { return true; }

    std::vector<int64_t> rows(int64_t layers, int64_t sequence, int64_t keep) const override {
        std::vector<int64_t> rows(static_cast<size_t>(layers));
        for (int64_t i = 0; i < layers; ++i) rows[static_cast<size_t>(i)] = std::max(keep, sequence * (4 - i) / 4);
        return rows;
    }
};

}  // namespace dropforge
