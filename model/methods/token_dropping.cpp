#include "model/methods/token_dropping.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/ops/dropping_ops.h"

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

/// Of the layers' rows, the last one's not counted, the first that are not all.
int64_t first_subset(const std::vector<int64_t>& rows, int64_t sequence) {
    const auto found = std::find_if(rows.begin(), rows.end() - 1, [&](int64_t r) { return r != sequence; });
    return found == rows.end() - 1 ? sequence : *found;
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
        const Tensor kept = first ? builder.input(names::kKeptPositions, DType::i32, {b, k})
                                  : builder.program.planned(name + ".kept", DType::i32, {b, k});
        const TokenSubset subset = choose(builder, name, values, lengths, kept);
        d.subsets[static_cast<size_t>(i)] = subset;
        values = values_of(builder, name, values, kept);
        lengths = subset.lengths;
    }
    return d;
}

TokenDropping::TokenDropping(const RunShape& shape, const DroppingOptions& options,
                             std::shared_ptr<const Routing> routing)
    : Method(shape),
      options_(options),
      routing_(routing ? std::move(routing) : make_routing(options.routing)),
      keep_(options.keep.of(shape.sequence)),
      kept_(first_subset(routing_->rows(shape.model.layers, shape.sequence, keep_), shape.sequence)),
      fixed_(routing_->learns() && shape.model.special ? fixed_values(*shape.model.special)
                                                       : std::vector<kernels::FixedValue>()) {}

int64_t TokenDropping::first_step() const { return std::clamp<int64_t>(options_.start_step, 0, shape_.steps); }

int64_t TokenDropping::last_step() const {
    return options_.end_step == 0 ? shape_.steps : std::clamp(options_.end_step, first_step(), shape_.steps);
}

std::string TokenDropping::text() const {
    std::string text =
        fmt::format("{}: {} of {} tokens stay, chosen by {}", name(), keep_, shape_.sequence, options_.routing);
    if (options_.start_step > 0) text += fmt::format("; dense until step {}", options_.start_step);
    if (options_.end_step > 0) text += fmt::format("; dense after step {}", options_.end_step);
    return text;
}

int64_t TokenDropping::count(StepKind kind) const {
    const int64_t dropping = last_step() - first_step();
    return kind == kDroppingStep ? dropping : kind == StepKind::dense ? shape_.steps - dropping : 0;
}

DroppedTokens TokenDropping::drop(Builder& builder) const { return drop_tokens(builder, *routing_, keep_); }

BuildOptions TokenDropping::with_importance(BuildOptions options) const {
    options.importance = routing_->learns();
    return options;
}

Program TokenDropping::program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const {
    if (kind == StepKind::dense) return dense_step(parameters, with_importance(options));
    Program program(options.accumulate ? "token-dropping step, accumulating" : "token-dropping step");
    Builder builder(program, parameters, with_importance(options));
    add_training_step(builder, drop(builder));
    return program;
}

std::optional<double> TokenDropping::kept_share(StepKind kind) const {
    return kind == StepKind::dense ? 1 : static_cast<double>(kept_) / static_cast<double>(shape_.sequence);
}

std::vector<ChosenRows> TokenDropping::chosen(StepKind kind) const {
    if (kind == StepKind::dense) return {};
    return {{names::kKeptPositions, kept_}};
}

std::vector<MethodState> TokenDropping::states() const { return {{names::kImportance, shape_.model.vocabulary}}; }

std::vector<MethodState> TokenDropping::accumulators() const {
    return {{names::kImportanceSums, shape_.model.vocabulary}, {names::kImportanceCounts, shape_.model.vocabulary}};
}

std::vector<float> TokenDropping::initial_state(std::string_view, const TokenCounts& counts) const {
    std::vector<float> table =
        routing_->table(shape_.model.vocabulary, routing_->wants_counts() ? counts() : std::vector<int64_t>());
    if (shape_.model.special)
        for (const kernels::FixedValue& fixed : fixed_values(*shape_.model.special))
            table[static_cast<size_t>(fixed.id)] = fixed.value;
    return table;
}

void TokenDropping::add_update(Program& program, Tensor norm) const {
    if (!routing_->learns()) return;
    const auto f32 = [&](const char* name) { return program.bound(name, DType::f32, {shape_.model.vocabulary}); };
    ops::importance_update(program, "importance", f32(names::kImportanceSums), f32(names::kImportanceCounts),
                           f32(names::kImportance), norm, fixed_, options_.importance_beta);
}

std::vector<config::MethodKey> dropping_keys() {
    using namespace config;
    using Options = DroppingOptions;
    constexpr Range kAtLeastTwo{2, 65536};  // of positions
    return {
        {"dropping", "keep", [](OptionTables& t) -> Slot { return &t.of<Options>().keep; }, kAtLeastTwo},
        {"dropping", "routing",
         [](OptionTables& t) -> Slot { return choice(t.of<Options>().routing, routing_names()); }, kAny,
         routing_names()},
        {"dropping", "importance_beta", [](OptionTables& t) -> Slot { return &t.of<Options>().importance_beta; },
         kBelowOne},
        {"dropping", "start_step", [](OptionTables& t) -> Slot { return &t.of<Options>().start_step; }, kSteps},
        {"dropping", "end_step", [](OptionTables& t) -> Slot { return &t.of<Options>().end_step; }, kSteps},
    };
}

/// The layer in the middle splits them, one before and one after it see all tokens.
void check_dropping(const char* method, const RunShape& shape, const OptionTables& options, const NamedKey& key) {
    const DroppingOptions& o = options.of<DroppingOptions>();
    require(shape.model.layers % 2 == 0 && shape.model.layers >= 4,
            "{} is {}: {} = \"{}\" wants an even number of layers, at least 4", key("model.layers"), shape.model.layers,
            key("train.method"), method);
    const int64_t kept = o.keep.of(shape.sequence);
    require(kept >= 2 && kept <= shape.sequence,
            "{} is {}, which is {} of the {} tokens of {}: it must be 2 … {} of them", key("dropping.keep"),
            o.keep.text(), kept, shape.sequence, key("data.sequence"), shape.sequence);
    require(o.start_step <= shape.steps, "{} is {}: it must be at most {} = {}", key("dropping.start_step"),
            o.start_step, key("train.steps"), shape.steps);
    require(o.end_step == 0 || o.end_step > o.start_step, "{} is {}: it must be more than {} = {}, or 0 for none",
            key("dropping.end_step"), o.end_step, key("dropping.start_step"), o.start_step);
}

void check_dropping_for_parity(const ParityCase& given) {
    const BertConfig& c = given.shape.model;
    require(c.layers >= 4 && c.layers % 2 == 0, "{}: token dropping needs an even number of layers, 4 or more, not {}",
            given.model, c.layers);
    require(c.special.has_value(),
            "{}: config.json must name pad_token_id, unk_token_id, cls_token_id, sep_token_id and mask_token_id",
            given.model);
    const int64_t keep = given.options.of<DroppingOptions>().keep.of(given.shape.sequence);
    require(keep >= 1 && keep <= given.shape.sequence, "--keep is {}: it must be 1 … {}, the length of the sequences",
            keep, given.shape.sequence);
}

MethodEntry token_dropping_method() {
    return {.name = "token_dropping",
            .tables = {"dropping"},
            .keys = dropping_keys(),
            .check = [](const RunShape& shape, const OptionTables& options,
                        const NamedKey& key) { check_dropping("token_dropping", shape, options, key); },
            .parity_options = {{"--keep", "dropping.keep", "Tokens of a sequence that are kept (default: half)"},
                               {"--importance-beta", "dropping.importance_beta",
                                "Decay of the importance table's moving average"}},
            .make_for_parity = [](const ParityCase& given) -> std::shared_ptr<const Method> {
                check_dropping_for_parity(given);
                return std::make_shared<TokenDropping>(given.shape, given.options.of<DroppingOptions>());
            },
            .make = [](const RunShape& shape, const OptionTables& options) -> std::shared_ptr<const Method> {
                return std::make_shared<TokenDropping>(shape, options.of<DroppingOptions>());
            }};
}

}  // namespace dropforge
