// The builders of engine/ops.h: what ops on rows say that they touch, from which the memory plan comes, and which
// tensors each refuses.
#include "engine/ops.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/message_of.h"
#include "tests/support/touches.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// Tensors of 3 sequences of 8 rows of 4 numbers, 2 heads.
struct Tensors {
    static constexpr int64_t B = 3, S = 8, K = 4, H = 4, T = B * S;

    Program p{"step"};
    Tensor x = floats("x", {T, H}), y = floats("y", {T, H}), wide = floats("wide", {T, H + 1}),
           rows = floats("rows", {T}), hidden = floats("hidden", {H}), weight = floats("weight", {6, H}),
           product = floats("product", {T, 6}), small = floats("small", {B * K, H}), scale = floats("scale", {1}),
           totals = floats("totals", {3}), lse = floats("lse", {B, 2, S});
    Tensor narrow = p.bound("narrow", DType::bf16, {T, H}), index = p.bound("index", DType::i32, {B, K}),
           labels = p.bound("labels", DType::i32, {T}), lengths = p.bound("lengths", DType::i32, {B});

    Tensor floats(const std::string& name, const Shape& shape) { return p.bound(name, DType::f32, shape); }

    /// The op that `build` adds under the name "op" is refused with that message.
    template <typename Build>
    void refused(const std::string& message, const Build& build) const {
        const size_t ops = p.ops().size();
        CHECK(message_of(build) == "op: " + message);
        CHECK(p.ops().size() == ops);
    }
};

}  // namespace

TEST_CASE("merging and splitting rows: reads and writes, in place where nothing is added") {
    Tensors t;
    const Tensor all = t.p.planned("all", DType::f32, {t.T, t.H}), rest = t.p.planned("rest", DType::f32, {t.T, t.H}),
                 picked = t.p.planned("picked", DType::f32, {t.B * t.K, t.H});
    ops::merge_rows(t.p, "merge", t.small, t.index, t.x, all);
    CHECK(Touches(t.p).reads == Names{"small", "index", "x"});
    CHECK(Touches(t.p).writes == Names{"all"});
    CHECK(Touches(t.p).inplace == Names{"all < x"});
    ops::split_rows(t.p, "split", all, t.index, picked, rest, false);
    CHECK(Touches(t.p).reads == Names{"all", "index"});
    CHECK(Touches(t.p).writes == Names{"picked", "rest"});
    CHECK(Touches(t.p).inplace == Names{"rest < all"});
    ops::split_rows(t.p, "split", all, t.index, picked, rest, true);
    CHECK(Touches(t.p).reads == Names{"all", "index", "rest"});
    CHECK(Touches(t.p).writes == Names{"picked", "rest"});
    CHECK(Touches(t.p).inplace.empty());
    ops::add(t.p, "add", all, rest);
    CHECK(Touches(t.p).reads == Names{"all", "rest"});
    CHECK(Touches(t.p).writes == Names{"all"});
}

TEST_CASE("gemm refuses operands that do not fit") {
    Tensors t;
    const auto refused = [&](const std::string& message, const ops::GemmArguments& g) {
        t.refused(message, [&] { ops::gemm(t.p, "op", g); });
    };
    refused("cannot multiply [24, 4] by [6, 4] into [24, 6]", {.a = t.x, .b = t.weight, .c = t.product});
    refused("cannot multiply [24, 4] by [6, 4]ᵀ into [24, 4]",
            {.a = t.narrow, .b = t.weight, .c = t.x, .transpose_b = true});
    refused("no b was given", {.a = t.x, .b = {}, .c = t.product});
    refused("a must be of a float type, not i32", {.a = t.index, .b = t.weight, .c = t.product});
    refused("bias must be f32 [6], not f32 [4]",
            {.a = t.x, .b = t.weight, .c = t.product, .bias = t.hidden, .transpose_b = true});
    const Tensor sums = t.floats("sums", {7});
    refused("bias_gradient must be f32 [6], not f32 [7]",
            {.a = t.product, .b = t.x, .c = t.weight, .bias_gradient = sums, .transpose_a = true});
    refused("gelu must be f32 [24, 6], not f32 [24, 4]",
            {.a = t.x, .b = t.weight, .c = t.product, .transpose_b = true, .gelu = {.output = t.x}});
    const Tensor narrow_weight = t.p.bound("narrow weight", DType::bf16, {6, t.H}),
                 half = t.p.bound("half", DType::fp16, {t.T, 6});
    refused("c must be bf16 as a and b, or f32, not fp16",
            {.a = t.narrow, .b = narrow_weight, .c = half, .transpose_b = true});
}

TEST_CASE("layernorm refuses tensors that do not fit") {
    Tensors t;
    const ops::LayerNorm right{.x = t.x, .gain = t.hidden, .bias = t.hidden, .y = t.y, .mean = t.rows, .rstd = t.rows};
    const auto forward = [&](const std::string& message, const auto& change) {
        ops::LayerNorm l = right;
        change(l);
        t.refused(message, [&] { ops::layernorm_forward(t.p, "op", l); });
    };
    forward("y must be f32 [24, 4], not f32 [24, 5]", [&](ops::LayerNorm& l) { l.y = t.wide; });
    forward("residual must be f32 [24, 4], not bf16 [24, 4]", [&](ops::LayerNorm& l) { l.residual = t.narrow; });
    forward("gain must be f32 [4], not f32 [24]", [&](ops::LayerNorm& l) { l.gain = t.rows; });
    forward("rstd must be f32 [24], not f32 [4]", [&](ops::LayerNorm& l) { l.rstd = t.hidden; });
    forward("no mean was given", [&](ops::LayerNorm& l) { l.mean = {}; });
    forward("z must be given where there is a residual or dropout", [&](ops::LayerNorm& l) { l.residual = t.y; });
    forward("no dropout state was given", [&](ops::LayerNorm& l) {
        l.z = t.x;
        l.dropout.probability = 0.5f;
    });
    forward("24 rows are no sequences of 7", [&](ops::LayerNorm& l) {
        l.z = t.x;
        l.rows_per_sequence = 7;
        l.dropout = {t.p.bound("state", DType::i32, {4}), 1, 0.5f};
    });
    const auto backward = [&](const std::string& message, const ops::LayerNormGradients& g) {
        t.refused(message, [&] { ops::layernorm_backward(t.p, "op", right, g); });
    };
    backward("dy must be f32 [24, 4], not f32 [12, 4]",
             {.dy = t.small, .dz = t.y, .dx = {}, .dgain = t.hidden, .dbias = t.hidden, .accumulate = false});
    backward("dbias must be f32 [4], not f32 [24]",
             {.dy = t.y, .dz = t.y, .dx = {}, .dgain = t.hidden, .dbias = t.rows, .accumulate = false});
}

TEST_CASE("attention refuses tensors that do not fit") {
    Tensors t;
    const ops::Attention right{.q = t.x,
                               .k = t.y,
                               .v = t.y,
                               .lengths = t.lengths,
                               .out = t.x,
                               .lse = t.lse,
                               .batch = t.B,
                               .heads = 2,
                               .head_size = 2,
                               .rows_q = t.S,
                               .rows_kv = t.S,
                               .stride_q = t.H,
                               .stride_kv = t.H};
    const auto forward = [&](const std::string& message, const auto& change) {
        ops::Attention a = right;
        change(a);
        t.refused(message, [&] { ops::attention_forward(t.p, "op", a); });
    };
    forward("k must be f32 [24, 4], not f32 [24, 5]", [&](ops::Attention& a) { a.k = t.wide; });
    forward("v must be f32 [24, 4], not bf16 [24, 4]", [&](ops::Attention& a) { a.v = t.narrow; });
    forward("lengths must be i32 [3], not i32 [24]", [&](ops::Attention& a) { a.lengths = t.labels; });
    forward("out must be f32 [24, 4], not f32 [12, 4]", [&](ops::Attention& a) { a.out = t.small; });
    forward("lse must be f32 [48], not f32 [24]", [&](ops::Attention& a) { a.lse = t.rows; });
    forward("rows of 4 numbers cannot be 3 and 4 apart", [&](ops::Attention& a) { a.stride_q = 3; });
    forward("no dropout state was given", [&](ops::Attention& a) { a.dropout.probability = 0.5f; });
    t.refused("dout must be f32 [24, 4], not f32 [24, 5]",
              [&] { ops::attention_backward(t.p, "op", right, {.dout = t.wide, .dq = t.x, .dk = t.y, .dv = t.y}); });
    t.refused("no dv was given",
              [&] { ops::attention_backward(t.p, "op", right, {.dout = t.x, .dq = t.x, .dk = t.y}); });
}

TEST_CASE("pointwise ops refuse tensors that do not fit") {
    Tensors t;
    constexpr auto form = kernels::Gelu::erf;
    t.refused("y must be f32 [24, 4], not bf16 [24, 4]", [&] { ops::gelu_forward(t.p, "op", t.x, t.narrow, form); });
    t.refused("dy must be f32 [24, 4], not f32 [24, 5]",
              [&] { ops::gelu_backward(t.p, "op", t.wide, t.x, t.y, t.hidden, {}, form, false); });
    t.refused("dx_sum must be f32 [4], not f32 [24]",
              [&] { ops::gelu_backward(t.p, "op", t.y, t.x, t.y, t.rows, {}, form, false); });
    t.refused("y must be f32 [24, 4], not f32 [12, 4]",
              [&] { ops::gelu_backward(t.p, "op", t.y, t.x, t.y, t.hidden, t.small, form, false); });
    t.refused("x must be of a float type, not i32", [&] { ops::tanh_forward(t.p, "op", t.index, t.y); });
    t.refused("dx must be f32 [24, 4], not f32 [24, 5]",
              [&] { ops::tanh_backward(t.p, "op", t.y, t.x, t.wide, t.hidden, false); });
    t.refused("shapes [24, 4] and [24, 5] must be equal", [&] { ops::cast(t.p, "op", t.x, t.wide); });
    t.refused("to must be of a float type, not i32", [&] { ops::cast(t.p, "op", t.x, t.labels); });
    t.refused("no tensor was given", [&] { ops::clear(t.p, "op", {}); });
    t.refused("x must be f32 [24, 4], not bf16 [24, 4]", [&] { ops::add(t.p, "op", t.x, t.narrow); });
}

TEST_CASE("ops on rows refuse tensors that do not fit") {
    Tensors t;
    t.refused("rows [3, 4] of [24, 4] do not make [24, 4]", [&] { ops::gather_rows(t.p, "op", t.x, t.index, t.y); });
    t.refused("index must be i32, not f32", [&] { ops::gather_rows(t.p, "op", t.x, t.small, t.y); });
    t.refused("types bf16 and f32 must be equal", [&] { ops::gather_rows(t.p, "op", t.x, t.index, t.narrow); });
    t.refused("rows [3, 4] of [24, 5] do not make [12, 4]",
              [&] { ops::scatter_rows(t.p, "op", t.small, t.index, t.wide, ops::Scatter::replace); });
    t.refused("rest must be f32 [24, 4], not f32 [24, 5]",
              [&] { ops::merge_rows(t.p, "op", t.small, t.index, t.wide, t.y); });
    t.refused("rest must be f32 [24, 4], not bf16 [24, 4]",
              [&] { ops::split_rows(t.p, "op", t.x, t.index, t.small, t.narrow, false); });
    t.refused("cannot add rows to themselves", [&] { ops::split_rows(t.p, "op", t.x, t.index, t.small, t.x, true); });
    CHECK_NOTHROW(ops::split_rows(t.p, "op", t.x, t.index, t.small, t.x, false));
}

TEST_CASE("cross-entropy refuses tensors that do not fit") {
    Tensors t;
    const ops::CrossEntropy right{.logits = t.x,
                                  .labels = t.labels,
                                  .loss = t.rows,
                                  .correct = t.rows,
                                  .totals = t.totals,
                                  .columns = 3,
                                  .accumulate = false};
    const auto refused = [&](const std::string& message, const auto& change) {
        ops::CrossEntropy c = right;
        change(c);
        t.refused(message, [&] { ops::cross_entropy(t.p, "op", c); });
    };
    refused("5 classes of logits [24, 4]", [&](ops::CrossEntropy& c) { c.columns = 5; });
    refused("labels must be i32 [24], not f32 [24]", [&](ops::CrossEntropy& c) { c.labels = t.rows; });
    refused("weights must be f32 [24], not f32 [4]", [&](ops::CrossEntropy& c) { c.weights = t.hidden; });
    refused("gradient_scale must be f32 [1], not f32 [3]", [&](ops::CrossEntropy& c) { c.gradient_scale = t.totals; });
    refused("loss_scale must be f32 [3], not f32 [1]", [&](ops::CrossEntropy& c) { c.loss_scale = t.scale; });
    refused("totals must be f32 [3], not f32 [1]", [&](ops::CrossEntropy& c) { c.totals = t.scale; });
}

TEST_CASE("dropout: reads, writes, in place, and what it refuses") {
    Tensors t;
    const Tensor state = t.p.bound("state", DType::i32, {4}), y = t.p.planned("dropped", DType::f32, {t.T, t.H});
    ops::dropout(t.p, "dropout", t.x, y, t.S, {state, 1, 0.5f});
    CHECK(Touches(t.p).reads == Names{"x", "state"});
    CHECK(Touches(t.p).writes == Names{"dropped"});
    CHECK(Touches(t.p).inplace == Names{"dropped < x"});
    const auto refused = [&](const std::string& message, Tensor to, int64_t per_sequence, Tensor drawn_from) {
        t.refused(message, [&] { ops::dropout(t.p, "op", t.x, to, per_sequence, {drawn_from, 1, 0.5f}); });
    };
    refused("y must be f32 [24, 4], not f32 [24, 5]", t.wide, t.S, state);
    refused("y must be f32 [24, 4], not bf16 [24, 4]", t.narrow, t.S, state);
    refused("no dropout state was given", y, t.S, {});
    refused("24 rows are no sequences of 7", y, 7, state);
}

TEST_CASE("squared error: reads and writes, and what it refuses") {
    Tensors t;
    ops::SquaredError right{.predictions = t.floats("predictions", {t.T, 1}),
                            .labels = t.floats("values", {t.T}),
                            .weights = t.floats("weights", {t.T}),
                            .loss = t.rows,
                            .totals = t.totals,
                            .accumulate = false};
    ops::squared_error(t.p, "loss", right);
    CHECK(Touches(t.p, 1).reads == Names{"predictions", "values", "weights"});
    CHECK(Touches(t.p, 1).writes == Names{"rows"});
    CHECK(Touches(t.p).reads == Names{"rows", "weights"});
    CHECK(Touches(t.p).writes == Names{"totals"});
    right.gradient_scale = t.scale;
    right.accumulate = true;
    ops::squared_error(t.p, "loss", right);
    CHECK(Touches(t.p, 1).reads == Names{"predictions", "values", "weights", "scale"});
    CHECK(Touches(t.p, 1).writes == Names{"rows", "predictions"});
    CHECK(Touches(t.p).reads == Names{"rows", "weights", "totals"});
    const auto refused = [&](const std::string& message, const auto& change) {
        ops::SquaredError s = right;
        change(s);
        t.refused(message, [&] { ops::squared_error(t.p, "op", s); });
    };
    refused("no predictions was given", [&](ops::SquaredError& s) { s.predictions = {}; });
    refused("predictions must be f32 [96], not bf16 [24, 4]", [&](ops::SquaredError& s) { s.predictions = t.narrow; });
    refused("labels must be f32 [24], not i32 [24]", [&](ops::SquaredError& s) { s.labels = t.labels; });
    refused("weights must be f32 [24], not f32 [4]", [&](ops::SquaredError& s) { s.weights = t.hidden; });
    refused("loss must be f32 [24], not f32 [4]", [&](ops::SquaredError& s) { s.loss = t.hidden; });
}

TEST_CASE("span loss: reads and writes, and what it refuses") {
    Tensors t;
    const Tensor starts = t.p.bound("starts", DType::i32, {t.B}), ends = t.p.bound("ends", DType::i32, {t.B});
    ops::SpanLoss right{.logits = t.floats("logits", {t.T, 2}),
                        .lengths = t.lengths,
                        .starts = starts,
                        .ends = ends,
                        .loss = t.floats("loss", {t.B}),
                        .totals = t.totals,
                        .accumulate = false};
    ops::span_loss(t.p, "loss", right);
    CHECK(Touches(t.p, 1).reads == Names{"logits", "lengths", "starts", "ends"});
    CHECK(Touches(t.p, 1).writes == Names{"loss"});
    CHECK(Touches(t.p).reads == Names{"loss"});
    CHECK(Touches(t.p).writes == Names{"totals"});
    right.gradient_scale = t.scale;
    right.accumulate = true;
    ops::span_loss(t.p, "loss", right);
    CHECK(Touches(t.p, 1).reads == Names{"logits", "lengths", "starts", "ends", "scale"});
    CHECK(Touches(t.p, 1).writes == Names{"loss", "logits"});
    CHECK(Touches(t.p).reads == Names{"loss", "totals"});
    const auto refused = [&](const std::string& message, const auto& change) {
        ops::SpanLoss s = right;
        change(s);
        t.refused(message, [&] { ops::span_loss(t.p, "op", s); });
    };
    refused("logits must be f32 [positions of 3 sequences, 2], not f32 [24, 4]",
            [&](ops::SpanLoss& s) { s.logits = t.x; });
    refused("logits must be f32 [positions of 24 sequences, 2], not f32 [12, 4]", [&](ops::SpanLoss& s) {
        s.logits = t.small;
        s.starts = t.labels;
    });
    refused("ends must be i32 [3], not i32 [24]", [&](ops::SpanLoss& s) { s.ends = t.labels; });
    refused("lengths must be i32 [3], not f32 [3]", [&](ops::SpanLoss& s) { s.lengths = t.totals; });
    refused("loss must be f32 [3], not f32 [24]", [&](ops::SpanLoss& s) { s.loss = t.rows; });
}
