#include "model/methods/sctd.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/network/embeddings.h"
#include "model/network/loss_heads.h"
#include "model/network/names.h"
#include "model/ops/dropping_ops.h"

namespace dropforge {

namespace {

/// Embeddings and the layers before the first dropped token.
struct Trunk {
    ops::Embedding embeddings;
    LayerStack layers;
};

Trunk trunk_forward(Builder& builder, const DroppedTokens& dropped) {
    Trunk t{.embeddings = embeddings_forward(builder), .layers = {}};
    t.layers = layers_forward(builder, 0, dropped.first, t.embeddings.y, builder.lengths);
    return t;
}

void trunk_backward(Builder& builder, const Trunk& t, Tensor dy) {
    embeddings_backward(builder, t.embeddings, layers_backward(builder, t.layers, dy));
}

/// One pass from the trunk's output on.
struct Pass {
    LossRows rows;
    LayerStack middle;
    EncoderLayer last;
    Tensor dy = {};  // gradient of the pass's own losses at the last layer's output; absent: it has none
};

Pass pass_forward(Builder& builder, Tensor x, const DroppedTokens& dropped, const Readers& readers) {
    const int64_t last = builder.config.layers - 1;
    Pass p{.rows = loss_rows(builder, readers),
           .middle = layers_forward(builder, dropped.first, last, x, builder.lengths, dropped.subsets),
           .last = {}};
    p.last = encoder_layer_forward(builder, last, merge_forward(builder, p.middle), {builder.lengths, p.rows.queries});
    return p;
}

/// Losses and at once their backward: the logits, a step's largest tensors, are gone before the other pass.
void add_losses(Builder& builder, Pass& p, PassName name) {
    p.dy = losses_backward(builder, losses_forward(builder, p.last.y, p.rows, name));
}

/// What the divergences read of a pass, f32 [B,h]: behind layer L-2 and behind the last one.
struct Pooled {
    Tensor local, global;
};

/// A divergence's gradients at what it read of each pass.
struct Divergence {
    Tensor ddropped, dfull;
};

Divergence divergence(Builder& builder, const std::string& name, Tensor dropped, Tensor full) {
    const Divergence d{builder.program.planned(name + ".dropped_gradient", DType::f32, dropped.shape),
                       builder.program.planned(name + ".full_gradient", DType::f32, full.shape)};
    ops::kl_divergence(builder.program, name, full, dropped, builder.input(names::kKlScale, DType::f32, {1}),
                       builder.loss_scale, builder.input(name, DType::f32, {builder.options.batch}), d.dfull,
                       d.ddropped);
    return d;
}

class AlignStep {
  public:
    AlignStep(Builder& builder, const DroppedTokens& dropped, const SctdOptions& options)
        : builder_(builder), dropped_(dropped), everything_{.first = dropped.first}, options_(options) {}

    void add() {
        const Trunk trunk = trunk_forward(builder_, dropped_);
        std::optional<Pass> main;
        const Pooled dropped = options_.recompute ? pooled_ahead(trunk) : pooled(main.emplace(main_forward(trunk)));
        std::optional<Trunk> second;
        const Pass full = full_forward(trunk, second);
        const Pooled undropped = full_pooled(full);
        const Divergence local = divergence(builder_, names::kKlLocal, dropped.local, undropped.local),
                         global = divergence(builder_, names::kKlGlobal, dropped.global, undropped.global);
        Tensor dfull = full_backward(full, local, global);
        if (second) {
            const Program::Scope scope(builder_.program, "full");
            trunk_backward(builder_, *second, dfull);
            dfull = {};
        }
        if (!main) main = main_forward(trunk);
        trunk_backward(builder_, trunk, main_backward(*main, local, global, dfull));
    }

  private:
    /// [CLS] rows for the divergence of [CLS], all rows for that of means.
    Readers readers(std::span<const LossHeadPointer> losses) const {
        Readers readers(losses);
        const bool means = options_.pooled == Pooling::mean;
        readers.all |= means;
        readers.cls |= !means;
        return readers;
    }

    Pass main_forward(const Trunk& trunk) {
        Pass p = pass_forward(builder_, trunk.layers.y, dropped_, readers(builder_.options.heads));
        add_losses(builder_, p, PassName::main);
        record_importance(builder_);
        return p;
    }

    /// The pass with dropped tokens for the divergences alone: it runs again when its turn for backward comes, and
    /// until then nothing of it is kept.
    Pooled pooled_ahead(const Trunk& trunk) {
        const Program::Scope scope(builder_.program, "ahead");
        return pooled(pass_forward(builder_, trunk.layers.y, dropped_, readers(builder_.options.heads)));
    }

    Pass full_forward(const Trunk& trunk, std::optional<Trunk>& second) {
        const Program::Scope scope(builder_.program, "full");
        if (!options_.share_trunk) {
            builder_.dropout_of_pass(1);
            second = trunk_forward(builder_, everything_);
        }
        Pass p = pass_forward(builder_, second ? second->layers.y : trunk.layers.y, everything_,
                              readers(options_.full_mlm ? builder_.options.heads : LossHeads()));
        if (options_.full_mlm) add_losses(builder_, p, PassName::full);
        builder_.dropout_of_pass(0);
        return p;
    }

    Pooled pooled(const Pass& pass) {
        return {mean_of("kl_local.rows", rows_of(pass.middle)), mean_of("kl_global.rows", rows_of(pass.last.y))};
    }
    Pooled full_pooled(const Pass& full) {
        const Program::Scope scope(builder_.program, "full");
        return pooled(full);
    }
    Tensor mean_of(const std::string& name, const ops::Pool& pool) {
        const Tensor rows =
            builder_.program.planned(name, DType::f32, {builder_.options.batch, builder_.config.hidden});
        ops::pool_forward(builder_.program, name, pool, rows);
        return rows;
    }

    /// [CLS] is row 0 of a sequence wherever it is (its value keeps it), and real rows come first.
    ops::Pool rows_of(Tensor x, Tensor lengths) const {
        if (options_.pooled == Pooling::cls) return {.x = x, .lengths = {}, .count = 1};
        return {.x = x, .lengths = lengths, .count = x.shape[0] / builder_.options.batch};
    }
    ops::Pool rows_of(const LayerStack& stack) const { return rows_of(stack.y, stack.lengths); }
    ops::Pool rows_of(Tensor y) const { return rows_of(y, builder_.lengths); }

    /// The gradient at the last layer's output, with that of the divergence.
    Tensor last_gradient(const Pass& pass, Tensor dpooled) {
        const Tensor dy = pass.dy ? pass.dy : builder_.activation("last.gradient", pass.last.y.shape);
        ops::pool_backward(builder_.program, "kl_global.backward", rows_of(pass.last.y), dpooled, dy,
                           static_cast<bool>(pass.dy));
        return dy;
    }

    /// Gradient at the trunk's output.
    Tensor full_backward(const Pass& full, const Divergence& local, const Divergence& global) {
        const Program::Scope scope(builder_.program, "full");
        const Tensor dy = last_gradient(full, global.dfull);
        const Tensor dx = encoder_layer_backward(builder_, full.last, dy);
        ops::pool_backward(builder_.program, "kl_local.backward", rows_of(full.middle), local.dfull, dx, true);
        return layers_backward(builder_, full.middle, dx);
    }

    /// Gradient at the trunk's output; with that of the full pass, if given.
    Tensor main_backward(const Pass& main, const Divergence& local, const Divergence& global, Tensor dfull) {
        const bool drops = dropped_.first < builder_.config.layers - 1;
        const Tensor dy = last_gradient(main, global.ddropped);
        const MergeGradients merge = merge_backward(
            builder_, main.middle, encoder_layer_backward(builder_, main.last, dy), drops ? dfull : Tensor{});
        ops::pool_backward(builder_.program, "kl_local.backward", rows_of(main.middle), local.ddropped, merge.dy, true);
        const Tensor dx = layers_backward(builder_, main.middle, merge.dy, merge.around);
        if (!drops && dfull) ops::add(builder_.program, "passes.backward", dx, dfull);
        return dx;
    }

    Builder& builder_;
    const DroppedTokens& dropped_;
    const DroppedTokens everything_;  // drops none; the same trunk
    const SctdOptions& options_;
};

/// From `begin` at step 1 to `end` at step `steps`.
double line(double begin, double end, int64_t step, int64_t steps) {
    if (steps <= 1) return begin;
    return begin + (end - begin) * static_cast<double>(step - 1) / static_cast<double>(steps - 1);
}

}  // namespace

Sctd::Sctd(const RunShape& shape, const DroppingOptions& dropping, const SctdOptions& options,
           std::shared_ptr<const Routing> routing)
    : TokenDropping(shape, dropping, std::move(routing)), options_(options) {}

std::string Sctd::text() const {
    return fmt::format("{}; align steps every {}, lambda {}", TokenDropping::text(), options_.interval,
                       options_.lambda);
}

StepKind Sctd::kind(int64_t step) const {
    if (!drops(step)) return StepKind::dense;
    return aligned_through(step) > aligned_through(step - 1) ? kAlignStep : kDroppingStep;
}

double Sctd::lambda(int64_t step) const { return line(options_.lambda, options_.last_lambda(), step, shape_.steps); }

int64_t Sctd::aligned_through(int64_t step) const {
    const auto first = static_cast<double>(options_.interval), last = static_cast<double>(options_.last_interval());
    if (first == last) return step / options_.interval;
    const double slope = (last - first) / static_cast<double>(std::max<int64_t>(shape_.steps, 1));
    // The sum of the rates as an integral over the line: any step's kind is known without the ones before.
    const double due = std::log1p(slope * static_cast<double>(step) / first) / slope;
    return static_cast<int64_t>(std::floor(due + 1e-9));
}

int64_t Sctd::count(StepKind kind) const {
    const int64_t align = aligned_through(last_step()) - aligned_through(first_step());
    if (kind == kAlignStep) return align;
    return TokenDropping::count(kind) - (kind == kDroppingStep ? align : 0);
}

double Sctd::share(StepKind kind) const {
    const double align = 1 / static_cast<double>(options_.interval);
    return kind == kAlignStep ? align : kind == kDroppingStep ? 1 - align : 0;
}

Program Sctd::program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const {
    if (kind != kAlignStep) return TokenDropping::program(kind, parameters, options);
    Program program(options.accumulate ? "align step, accumulating" : "align step");
    Builder builder(program, parameters, with_importance(options));
    const DroppedTokens dropped = drop(builder);
    AlignStep(builder, dropped, options_).add();
    return program;
}

double Sctd::divisor(const StepInfo& info) const {
    return info.count(options_.kl_normalization == KlNormalization::tokens ? HeadRows::masked : HeadRows::cls);
}

NamedNumbers Sctd::inputs(const StepInfo& info) const {
    NamedNumbers inputs = TokenDropping::inputs(info);
    if (info.kind != kAlignStep) return inputs;
    if (options_.full_mlm) {
        for (const LossHeadPointer& head : info.heads) inputs[head->names().scale] *= 0.5;
    }
    inputs[names::kKlScale] = lambda(info.step) / divisor(info);
    return inputs;
}

std::vector<StepResultSource> Sctd::sources(std::span<const LossHeadPointer> heads) const {
    std::vector<StepResultSource> sources = TokenDropping::sources(heads);
    for (const LossHeadPointer& head : heads)
        sources.push_back({head->names().loss_of(PassName::full), head->names().totals_of(PassName::full), 0});
    sources.insert(sources.end(), {{"kl_local", names::kKlLocal, StepResultSource::kAll},
                                   {"kl_global", names::kKlGlobal, StepResultSource::kAll}});
    return sources;
}

double Sctd::loss(const StepInfo& info, NamedNumbers& results) const {
    const double main = TokenDropping::loss(info, results);
    if (info.kind != kAlignStep) return main;
    const NamedNumbers& r = results;
    results["kl_local"] /= divisor(info);
    results["kl_global"] /= divisor(info);
    const double loss = options_.full_mlm ? 0.5 * main + 0.5 * mean_losses(info, results, PassName::full) : main;
    return loss + lambda(info.step) * (r["kl_local"] + r["kl_global"]);
}

void Sctd::add_up(const StepInfo& info, const NamedNumbers& results, NamedNumbers& interval) const {
    TokenDropping::add_up(info, results, interval);
    if (info.kind != kAlignStep) return;
    interval["align_steps"] += 1;
    interval["align_count"] += results["mlm_count"];
    interval["loss_full"] += results["mlm_loss_full"];
    interval["kl_local"] += results["kl_local"];
    interval["kl_global"] += results["kl_global"];
}

NamedNumbers Sctd::metrics(int64_t step, const NamedNumbers& interval) const {
    NamedNumbers m = TokenDropping::metrics(step, interval);
    const double steps = interval["align_steps"];
    if (steps == 0) return m;
    if (options_.full_mlm) m["mlm_loss_full"] = interval["loss_full"] / std::max(interval["align_count"], 1.0);
    m["kl_local"] = interval["kl_local"] / steps;
    m["kl_global"] = interval["kl_global"] / steps;
    m["lambda"] = lambda(step);
    return m;
}

namespace {

std::vector<config::MethodKey> sctd_keys() {
    using namespace config;
    using Options = SctdOptions;
    return {
        {.table = "sctd",
         .name = "interval",
         .slot = [](OptionTables& t) -> Slot { return &t.of<Options>().interval; },
         .range = {1, kMany},
         .after = [](OptionTables& t) { t.of<Options>().interval_end.reset(); }},
        {"sctd",
         "interval_end",
         [](OptionTables& t) -> Slot {
             return Derived{&t.of<Options>().interval_end, t.of<Options>().last_interval()};
         },
         {1, kMany}},
        {.table = "sctd",
         .name = "lambda",
         .slot = [](OptionTables& t) -> Slot { return &t.of<Options>().lambda; },
         .range = kNotNegative,
         .after = [](OptionTables& t) { t.of<Options>().lambda_end.reset(); }},
        {"sctd", "lambda_end",
         [](OptionTables& t) -> Slot {
             return Derived{&t.of<Options>().lambda_end, t.of<Options>().last_lambda()};
         },
         kNotNegative},
        {"sctd",
         "pooled",
         [](OptionTables& t) -> Slot { return choice(t.of<Options>().pooled); },
         kAny,
         {kPoolingNames.begin(), kPoolingNames.end()}},
        {"sctd",
         "kl_normalization",
         [](OptionTables& t) -> Slot { return choice(t.of<Options>().kl_normalization); },
         kAny,
         {kKlNormalizationNames.begin(), kKlNormalizationNames.end()}},
        {"sctd", "full_mlm", [](OptionTables& t) -> Slot { return &t.of<Options>().full_mlm; }},
        {"sctd", "share_trunk", [](OptionTables& t) -> Slot { return &t.of<Options>().share_trunk; }},
        {"sctd", "recompute", [](OptionTables& t) -> Slot { return &t.of<Options>().recompute; }},
    };
}

}  // namespace

MethodEntry sctd_method() {
    return {.name = "sctd",
            .tables = {"dropping", "sctd"},
            .keys = sctd_keys(),
            .memory_switches = {"sctd.recompute"},
            .check = [](const RunShape& shape, const OptionTables& options,
                        const NamedKey& key) { check_dropping("sctd", shape, options, key); },
            .parity_options =
                {{"--lambda", "sctd.lambda", "Weight of the divergences in the loss of ScTD"},
                 {"--pooled", "sctd.pooled", "Rows that the divergences compare: [CLS], or the mean of all"},
                 {"--kl-normalization", "sctd.kl_normalization", "What the sums of the divergences are divided by"},
                 {"--share-trunk", "sctd.share_trunk",
                  "Run the layers before the first dropped token once for both passes"},
                 {"--full-mlm", "sctd.full_mlm", "Compute MLM and NSP losses in the full pass too"},
                 {"--recompute", "sctd.recompute", "Run the pass with dropped tokens forward twice, to save memory"}},
            .make_for_parity = [](const ParityCase& given) -> std::shared_ptr<const Method> {
                check_dropping_for_parity(given);
                SctdOptions options = given.options.of<SctdOptions>();
                options.interval = 1;  // every step aligns
                return std::make_shared<Sctd>(given.shape, given.options.of<DroppingOptions>(), options);
            },
            .make = [](const RunShape& shape, const OptionTables& options) -> std::shared_ptr<const Method> {
                return std::make_shared<Sctd>(shape, options.of<DroppingOptions>(), options.of<SctdOptions>());
            }};
}

}  // namespace dropforge
