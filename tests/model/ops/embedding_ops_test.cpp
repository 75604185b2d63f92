// The builders of BERT's embeddings refuse tensors that do not fit, with what was expected and what came.
#include "model/ops/embedding_ops.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/message_of.h"

using namespace dropforge;
using namespace dropforge::test;

TEST_CASE("embeddings refuse tensors that do not fit") {
    Program p("step");
    const auto floats = [&](const std::string& name, const Shape& shape) { return p.bound(name, DType::f32, shape); };
    const auto integers = [&](const std::string& name, const Shape& shape) { return p.bound(name, DType::i32, shape); };
    constexpr int64_t kRows = 24, kHidden = 4;
    const ops::Embedding right{.ids = integers("ids", {3, 8}),
                               .types = {},
                               .word = floats("word", {11, kHidden}),
                               .position = floats("position", {8, kHidden}),
                               .type = floats("type", {2, kHidden}),
                               .gain = floats("gain", {kHidden}),
                               .bias = floats("bias", {kHidden}),
                               .y = floats("y", {kRows, kHidden}),
                               .mean = floats("mean", {kRows}),
                               .rstd = floats("rstd", {kRows}),
                               .sequence = 8,
                               .epsilon = 1e-12f,
                               .dropout = {}};
    const Tensor wide = floats("wide", {11, 5});
    const auto forward = [&](const std::string& message, const auto& change) {
        ops::Embedding e = right;
        change(e);
        CHECK(message_of([&] { ops::embedding_forward(p, "op", e); }) == "op: " + message);
    };
    forward("ids must be i32 [24], not f32 [24]", [&](ops::Embedding& e) { e.ids = e.mean; });
    forward("types must be i32 [24], not f32 [24]", [&](ops::Embedding& e) { e.types = e.mean; });
    forward("word must be f32 [11, 4], not f32 [11, 5]", [&](ops::Embedding& e) { e.word = wide; });
    forward("no position was given", [&](ops::Embedding& e) { e.position = {}; });
    forward("gain must be f32 [4], not f32 [24]", [&](ops::Embedding& e) { e.gain = e.mean; });
    forward("24 rows are no sequences of 12, or that is more than 8 positions",
            [&](ops::Embedding& e) { e.sequence = 12; });
    forward("no dropout state was given", [&](ops::Embedding& e) { e.dropout.probability = 0.5f; });
    const ops::EmbeddingGradients gradients{.dy = right.y,
                                            .dword = right.word,
                                            .dposition = right.position,
                                            .dtype = right.type,
                                            .dgain = right.gain,
                                            .dbias = right.bias,
                                            .accumulate = false};
    const auto backward = [&](const std::string& message, const auto& change) {
        ops::EmbeddingGradients g = gradients;
        change(g);
        CHECK(message_of([&] { ops::embedding_backward(p, "op", right, g); }) == "op: " + message);
    };
    backward("dword must be f32 [11, 4], not f32 [11, 5]", [&](ops::EmbeddingGradients& g) { g.dword = wide; });
    backward("dposition must be f32 [8, 4], not f32 [2, 4]",
             [&](ops::EmbeddingGradients& g) { g.dposition = right.type; });
    backward("dbias must be f32 [4], not f32 [24]", [&](ops::EmbeddingGradients& g) { g.dbias = right.mean; });
    CHECK(p.ops().empty());
    CHECK_NOTHROW(ops::embedding_forward(p, "op", right));
    CHECK_NOTHROW(ops::embedding_backward(p, "op", right, gradients));
}
