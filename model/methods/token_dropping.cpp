#include "model/methods/token_dropping.h"

#include "base/error.h"
#include "model/network/bert.h"

namespace dropforge {

namespace {

void check_rows(const Graph& g, const std::vector<int64_t>& rows) {
    require(static_cast<int64_t>(rows.size()) == g.config.layers,
            "routing: numbers of tokens for {} layers, the model has {}", rows.size(), g.config.layers);
    int64_t before = g.options.sequence;
    for (size_t i = 0; i + 1 < rows.size(); ++i) {
        require(rows[i] >= 1 && rows[i] <= before, "routing: layer {} works on {} tokens; it must be 1 … {}", i,
                rows[i], before);
        before = rows[i];
    }
}

/// The choice among the tokens that are left, which have `values` f32 [B,R].
TokenSubset choose(Graph& g, const std::string& name, Tensor values, Tensor lengths, Tensor kept) {
    TokenSubset subset{.index = kept};
    if (lengths) subset.lengths = g.program.planned(name + ".lengths", DType::i32, {g.options.batch});
    ops::top_k(g.program, name, values, lengths, subset.index, subset.lengths);
    return subset;
}

/// values [B,R] of the rows that `index` [B,K] picks.
Tensor values_of(Graph& g, const std::string& name, Tensor values, Tensor index) {
    const Tensor picked = g.program.planned(name + ".values", DType::f32, index.shape);
    ops::gather_rows(g.program, name + ".values", values.reshaped({values.shape.size(), 1}), index,
                     picked.reshaped({picked.shape.size(), 1}));
    return picked;
}

}  // namespace

DroppedTokens drop_tokens(Graph& g, const Routing& routing, int64_t keep) {
    const int64_t layers = g.config.layers, b = g.options.batch;
    const std::vector<int64_t> rows = routing.rows(layers, g.options.sequence, keep);
    check_rows(g, rows);
    DroppedTokens d{.first = layers - 1, .subsets = std::vector<TokenSubset>(static_cast<size_t>(layers))};
    Tensor values, lengths = g.lengths;
    for (int64_t i = 0; i < layers - 1; ++i) {
        const int64_t k = rows[static_cast<size_t>(i)], before = values ? values.shape[1] : g.options.sequence;
        if (k == before) continue;
        const std::string name = "routing/layer" + std::to_string(i);
        const bool first = !values;
        if (first) {
            d.first = i;
            values = routing.values(g);
        }
        const Tensor kept = first ? g.input("kept_positions", DType::i32, {b, k})
                                  : g.program.planned(name + ".kept", DType::i32, {b, k});
        const TokenSubset subset = choose(g, name, values, lengths, kept);
        d.subsets[static_cast<size_t>(i)] = subset;
        values = values_of(g, name, values, kept);
        lengths = subset.lengths;
    }
    return d;
}

Program token_dropping_step(const Parameters& parameters, const GraphOptions& options, const Routing& routing,
                            int64_t keep) {
    Program program(options.accumulate ? "token-dropping step, accumulating" : "token-dropping step");
    Graph g(program, parameters, options);
    add_training_step(g, drop_tokens(g, routing, keep));
    return program;
}

}  // namespace dropforge
