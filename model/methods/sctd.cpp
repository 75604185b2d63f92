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

Trunk trunk_forward(Graph& g, const DroppedTokens& dropped) {
    Trunk t{.embeddings = embeddings_forward(g), .layers = {}};
    t.layers = layers_forward(g, 0, dropped.first, t.embeddings.y, g.lengths);
    return t;
}

void trunk_backward(Graph& g, const Trunk& t, Tensor dy) {
    embeddings_backward(g, t.embeddings, layers_backward(g, t.layers, dy));
}

/// One pass from the trunk's output on.
struct Pass {
    LossRows rows;
    LayerStack middle;
    EncoderLayer last;
    Tensor dy = {};  // gradient of the pass's own losses at the last layer's output; absent: it has none
};

Pass pass_forward(Graph& g, Tensor x, const DroppedTokens& dropped, const Readers& readers) {
    const int64_t last = g.config.layers - 1;
    Pass p{.rows = loss_rows(g, readers),
           .middle = layers_forward(g, dropped.first, last, x, g.lengths, dropped.subsets),
           .last = {}};
    p.last = encoder_layer_forward(g, last, merge_forward(g, p.middle), {g.lengths, p.rows.queries});
    return p;
}

/// Losses and at once their backward: the logits, a step's largest tensors, are gone before the other pass.
void add_losses(Graph& g, Pass& p, PassName name) {
    p.dy = loss_heads_backward(g, loss_heads_forward(g, p.last.y, p.rows, name));
}

/// What the divergences read of a pass, f32 [B,h]: behind layer L-2 and behind the last one.
struct Pooled {
    Tensor local, global;
};

/// A divergence's gradients at what it read of each pass.
struct Divergence {
    Tensor ddropped, dfull;
};

Divergence divergence(Graph& g, const std::string& name, Tensor dropped, Tensor full) {
    const Divergence d{g.program.planned(name + ".dropped_gradient", DType::f32, dropped.shape),
                       g.program.planned(name + ".full_gradient", DType::f32, full.shape)};
    ops::kl_divergence(g.program, name, full, dropped, g.input("kl_scale", DType::f32, {1}), g.loss_scale,
                       g.input(name, DType::f32, {g.options.batch}), d.dfull, d.ddropped);
    return d;
}

class AlignStep {
  public:
    AlignStep(Graph& g, const DroppedTokens& dropped, const AlignOptions& options)
        : g_(g), dropped_(dropped), everything_{.first = dropped.first}, options_(options) {}

    void add() {
        const Trunk trunk = trunk_forward(g_, dropped_);
        std::optional<Pass> main;
        const Pooled dropped = options_.recompute ? pooled_ahead(trunk) : pooled(main.emplace(main_forward(trunk)));
        std::optional<Trunk> second;
        const Pass full = full_forward(trunk, second);
        const Pooled whole = full_pooled(full);
        const Divergence local = divergence(g_, "kl_local", dropped.local, whole.local),
                         global = divergence(g_, "kl_global", dropped.global, whole.global);
        Tensor dfull = full_backward(full, local, global);
        if (second) {
            const Program::Scope scope(g_.program, "full");
            trunk_backward(g_, *second, dfull);
            dfull = {};
        }
        if (!main) main = main_forward(trunk);
        trunk_backward(g_, trunk, main_backward(*main, local, global, dfull));
    }

  private:
    /// [CLS] rows for the divergence of [CLS], all rows for that of means.
    Readers readers(bool mlm) const {
        const bool mean = options_.pooled == Pooling::mean;
        return {.mlm = mlm, .cls = !mean || g_.options.next_sentence, .all = mean};
    }

    Pass main_forward(const Trunk& trunk) {
        Pass p = pass_forward(g_, trunk.layers.y, dropped_, readers(true));
        add_losses(g_, p, PassName::main);
        record_importance(g_);
        return p;
    }

    /// The pass with dropped tokens for the divergences alone: it runs again when its turn for backward comes, and
    /// until then nothing of it is kept.
    Pooled pooled_ahead(const Trunk& trunk) {
        const Program::Scope scope(g_.program, "ahead");
        return pooled(pass_forward(g_, trunk.layers.y, dropped_, readers(true)));
    }

    Pass full_forward(const Trunk& trunk, std::optional<Trunk>& second) {
        const Program::Scope scope(g_.program, "full");
        if (!options_.share_trunk) {
            g_.dropout_of_pass(1);
            second = trunk_forward(g_, everything_);
        }
        Pass p = pass_forward(g_, second ? second->layers.y : trunk.layers.y, everything_, readers(options_.full_mlm));
        if (options_.full_mlm) add_losses(g_, p, PassName::full);
        g_.dropout_of_pass(0);
        return p;
    }

    Pooled pooled(const Pass& pass) {
        return {mean_of("kl_local.rows", rows_of(pass.middle)), mean_of("kl_global.rows", rows_of(pass.last.y))};
    }
    Pooled full_pooled(const Pass& full) {
        const Program::Scope scope(g_.program, "full");
        return pooled(full);
    }
    Tensor mean_of(const std::string& name, const ops::Pool& pool) {
        const Tensor rows = g_.program.planned(name, DType::f32, {g_.options.batch, g_.config.hidden});
        ops::pool_forward(g_.program, name, pool, rows);
        return rows;
    }

    /// [CLS] is row 0 of a sequence wherever it is (its value keeps it), and real rows come first.
    ops::Pool rows_of(Tensor x, Tensor lengths) const {
        if (options_.pooled == Pooling::cls) return {.x = x, .lengths = {}, .count = 1};
        return {.x = x, .lengths = lengths, .count = x.shape[0] / g_.options.batch};
    }
    ops::Pool rows_of(const LayerStack& stack) const { return rows_of(stack.y, stack.lengths); }
    ops::Pool rows_of(Tensor y) const { return rows_of(y, g_.lengths); }

    /// The gradient at the last layer's output, with that of the divergence.
    Tensor last_gradient(const Pass& pass, Tensor dpooled) {
        const Tensor dy = pass.dy ? pass.dy : g_.activation("last.gradient", pass.last.y.shape);
        ops::pool_backward(g_.program, "kl_global.backward", rows_of(pass.last.y), dpooled, dy,
                           static_cast<bool>(pass.dy));
        return dy;
    }

    /// Gradient at the trunk's output.
    Tensor full_backward(const Pass& full, const Divergence& local, const Divergence& global) {
        const Program::Scope scope(g_.program, "full");
        const Tensor dy = last_gradient(full, global.dfull);
        const Tensor dx = encoder_layer_backward(g_, full.last, dy);
        ops::pool_backward(g_.program, "kl_local.backward", rows_of(full.middle), local.dfull, dx, true);
        return layers_backward(g_, full.middle, dx);
    }

    /// Gradient at the trunk's output; with that of the full pass, if given.
    Tensor main_backward(const Pass& main, const Divergence& local, const Divergence& global, Tensor dfull) {
        const bool drops = dropped_.first < g_.config.layers - 1;
        const Tensor dy = last_gradient(main, global.ddropped);
        const MergeGradients merge =
            merge_backward(g_, main.middle, encoder_layer_backward(g_, main.last, dy), drops ? dfull : Tensor{});
        ops::pool_backward(g_.program, "kl_local.backward", rows_of(main.middle), local.ddropped, merge.dy, true);
        const Tensor dx = layers_backward(g_, main.middle, merge.dy, merge.around);
        if (!drops && dfull) ops::add(g_.program, "passes.backward", dx, dfull);
        return dx;
    }

    Graph& g_;
    const DroppedTokens& dropped_;
    const DroppedTokens everything_;  // drops none; the same trunk
    const AlignOptions& options_;
};

}  // namespace

Program align_step(const Parameters& parameters, const GraphOptions& options, const Routing& routing, int64_t keep,
                   const AlignOptions& align) {
    Program program(options.accumulate ? "align step, accumulating" : "align step");
    Graph g(program, parameters, options);
    const DroppedTokens dropped = drop_tokens(g, routing, keep);
    AlignStep(g, dropped, align).add();
    return program;
}

}  // namespace dropforge
