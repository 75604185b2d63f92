#include "model/methods/sctd.h"

#include <optional>

#include "model/methods/token_dropping.h"
#include "model/network/embeddings.h"
#include "model/network/loss_heads.h"

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
    p.dy = loss_heads_backward(builder, loss_heads_forward(builder, p.last.y, p.rows, name));
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
    ops::kl_divergence(builder.program, name, full, dropped, builder.input("kl_scale", DType::f32, {1}),
                       builder.loss_scale, builder.input(name, DType::f32, {builder.options.batch}), d.dfull,
                       d.ddropped);
    return d;
}

class AlignStep {
  public:
    AlignStep(Builder& builder, const DroppedTokens& dropped, const AlignOptions& options)
        : builder_(builder), dropped_(dropped), everything_{.first = dropped.first}, options_(options) {}

    void add() {
        const Trunk trunk = trunk_forward(builder_, dropped_);
        std::optional<Pass> main;
        const Pooled dropped = options_.recompute ? pooled_ahead(trunk) : pooled(main.emplace(main_forward(trunk)));
        std::optional<Trunk> second;
        const Pass full = full_forward(trunk, second);
        const Pooled whole = full_pooled(full);
        const Divergence local = divergence(builder_, "kl_local", dropped.local, whole.local),
                         global = divergence(builder_, "kl_global", dropped.global, whole.global);
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
    Readers readers(bool mlm) const {
        const bool mean = options_.pooled == Pooling::mean;
        return {.mlm = mlm, .cls = !mean || builder_.options.next_sentence, .all = mean};
    }

    Pass main_forward(const Trunk& trunk) {
        Pass p = pass_forward(builder_, trunk.layers.y, dropped_, readers(true));
        add_losses(builder_, p, PassName::main);
        record_importance(builder_);
        return p;
    }

    /// The pass with dropped tokens for the divergences alone: it runs again when its turn for backward comes, and
    /// until then nothing of it is kept.
    Pooled pooled_ahead(const Trunk& trunk) {
        const Program::Scope scope(builder_.program, "ahead");
        return pooled(pass_forward(builder_, trunk.layers.y, dropped_, readers(true)));
    }

    Pass full_forward(const Trunk& trunk, std::optional<Trunk>& second) {
        const Program::Scope scope(builder_.program, "full");
        if (!options_.share_trunk) {
            builder_.dropout_of_pass(1);
            second = trunk_forward(builder_, everything_);
        }
        Pass p =
            pass_forward(builder_, second ? second->layers.y : trunk.layers.y, everything_, readers(options_.full_mlm));
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
    const AlignOptions& options_;
};

}  // namespace

Program align_step(const Parameters& parameters, const BuildOptions& options, const Routing& routing, int64_t keep,
                   const AlignOptions& align) {
    Program program(options.accumulate ? "align step, accumulating" : "align step");
    Builder builder(program, parameters, options);
    const DroppedTokens dropped = drop_tokens(builder, routing, keep);
    AlignStep(builder, dropped, align).add();
    return program;
}

}  // namespace dropforge
