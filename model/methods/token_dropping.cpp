#include "model/methods/token_dropping.h"

#include "base/error.h"
#include "model/network/bert.h"

namespace dropforge {

namespace {

void check_rows(const Builder& builder, const std::vector<int64_t>& rows) {
    require(static_cast<int64_t>(rows.size()) == builder.config.layers,
            "routing: numbers of tokens for {} layers, the model has {}", rows.size(), builder.config.layers);
    int64_t before = builder.options.sequence;
    for (size_t i = 0; i + 1 < rows.size(); ++i) {
        require(rows[i] >= 1 && rows[i] <= before, "routing: layer {} works on {} tokens; it must be 1 … {}", i,
                rows[i], before);
        before = rows[i];
    }
}

/// The choice among the tokens that are left, which have `values` f32 [B,R].
TokenSubset choose(Builder& builder, const std::string& name, Tensor values, Tensor lengths, Tensor kept) {
    TokenSubset subset{.index = kept};
    if (lengths) subset.lengths = builder.program.planned(name + ".lengths", DType::i32, {builder.options.batch});
    ops::top_k(builder.program, name, values, lengths, subset.index, subset.lengths);
    return subset;
}

/// values [B,R] of the rows that `index` [B,K] picks.
Tensor values_of(Builder& builder, const std::string& name, Tensor values, Tensor index) {
    const Tensor picked = builder.program.planned(name + ".values", DType::f32, index.shape);
    ops::gather_rows(builder.program, name + ".values", values.reshaped({values.shape.size(), 1}), index,
                     picked.reshaped({picked.shape.size(), 1}));
    return picked;
}

}  // namespace

DroppedTokens drop_tokens(Builder& builder, const Routing& routing, int64_t keep) {
    const int64_t layers = builder.config.layers, b = builder.options.batch;
    const std::vector<int64_t> rows = routing.rows(layers, builder.options.sequence, keep);
    check_rows(builder, rows);
    DroppedTokens d{.first = layers - 1, .subsets = std::vector<TokenSubset>(static_cast<size_t>(layers))};
    Tensor values, lengths = builder.lengths;
    for (int64_t i = 0; i < layers - 1; ++i) {
        const int64_t k = rows[static_cast<size_t>(i)], before = values ? values.shape[1] : builder.options.sequence;
        if (k == before) continue;
        const std::string name = "routing/layer" + std::to_string(i);
        const bool first = !values;
        if (first) {
            d.first = i;
            values = routing.values(builder);
        }
        const Tensor kept = first ? builder.input("kept_positions", DType::i32, {b, k})
                                  : builder.program.planned(name + ".kept", DType::i32, {b, k});
        const TokenSubset subset = choose(builder, name, values, lengths, kept);
        d.subsets[static_cast<size_t>(i)] = subset;
        values = values_of(builder, name, values, kept);
        lengths = subset.lengths;
    }
    return d;
}

Program token_dropping_step(const Parameters& parameters, const BuildOptions& options, const Routing& routing,
                            int64_t keep) {
    Program program(options.accumulate ? "token-dropping step, accumulating" : "token-dropping step");
    Builder builder(program, parameters, options);
    add_training_step(builder, drop_tokens(builder, routing, keep));
    return program;
}

}  // namespace dropforge
