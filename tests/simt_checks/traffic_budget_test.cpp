// The memory-bound kernels move what their ops need, and little more, at BERT's shapes: at most 1.05 times each operand
// once, in sectors of which at least 90 % was asked for. What counts as moved: measured_op.h.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>

#include "engine/ops.h"
#include "model/ops/embedding_ops.h"
#include "model/training/optimizer_step.h"
#include "tests/simt_checks/measured_op.h"
#include "tests/simt_checks/traffic_kernels.h"

namespace dropforge {
namespace {

constexpr int64_t kBatch = 8, kSequence = 256, kRows = kBatch * kSequence, kHidden = 768, kInner = 3072,
                  kVocabulary = 30522, kPaddedVocabulary = 30528;
constexpr DType kFloatTypes[] = {DType::f32, DType::bf16};

struct Limit {
    double moved = 1.05;  // of what is needed
    double sector_use = 0.9, sector_use_of_all = 0.5;
};

bool within(const Measured& m, Limit limit) {
    return m.moved <= limit.moved * m.needed && m.sector_use >= limit.sector_use &&
           m.sector_use_of_all >= limit.sector_use_of_all;
}

void check(MeasuredOps& ops, const std::string& label, Limit limit = {}) {
    const Op& op = ops.next();
    const Measured m = ops.run_next();
    INFO(op.name, " ", label, ": moved ", m.moved, " of ", m.needed, " bytes, sector use ", m.sector_use, ", of all ",
         m.sector_use_of_all);
    CHECK(within(m, limit));
    CHECK(m.moved >= 0.95 * m.needed);  // else it was not all seen
}

std::string text(DType dtype) { return name_of(dtype); }

// ---------------------------------------------------------------------------------------------------- one op after
// another
TEST_CASE("traffic budget: gelu, tanh, dropout") {
    for (const DType dtype : kFloatTypes) {
        MeasuredOps ops;
        const Tensor x = ops.random("x", dtype, {kRows, kInner}), y = ops.zeros("y", dtype, {kRows, kInner}),
                     dy = ops.random("dy", dtype, {kRows, kInner}), sum = ops.zeros("sum", DType::f32, {kInner});
        ops::gelu_forward(ops.program, "gelu", x, y, kernels::Gelu::erf);
        check(ops, text(dtype));
        ops::tanh_forward(ops.program, "tanh", x, y);
        check(ops, text(dtype));
        ops::gelu_backward(ops.program, "gelu.backward", dy, x, dy, sum, x, kernels::Gelu::tanh, false);
        check(ops, text(dtype) + " in place");
        ops::tanh_backward(ops.program, "tanh.backward", dy, y, dy, sum, true);
        check(ops, text(dtype));
        const Tensor state = ops.zeros("state", DType::i32, {4});
        ops::dropout(ops.program, "dropout", x, y, kSequence, {state, 1, 0.1f});
        check(ops, text(dtype));
    }
}

TEST_CASE("traffic budget: column sums") {
    for (const DType dtype : kFloatTypes) {
        for (const int64_t columns : {kHidden, kInner}) {
            MeasuredOps ops;
            const Tensor x = ops.random("x", dtype, {kRows, columns}), sum = ops.zeros("sum", DType::f32, {columns});
            const Tensor scratch = ops.program.scratch(
                "scratch",
                kernels::column_sum_scratch_bytes(x.shape[0], x.shape[1]));  // as a gemm with bias_gradient has it
            ops.program.add("column_sum", {.reads = {x, sum}, .writes = {sum, scratch}}, [=](const Run& r) {
                r.kernels.column_sum(
                    {r.at(x), r.at<float>(sum), r.at(scratch), x.shape[0], x.shape[1], x.shape[1], x.dtype, true},
                    r.context);
            });
            check(ops, text(dtype));
        }
    }
}

TEST_CASE("traffic budget: layernorm") {
    for (const DType dtype : kFloatTypes) {
        for (const float probability : {0.0f, 0.1f}) {
            MeasuredOps ops;
            const auto rows = [&](const char* name) { return ops.random(name, dtype, {kRows, kHidden}); };
            const auto floats = [&](const char* name, int64_t n) { return ops.random(name, DType::f32, {n}); };
            const Tensor state = ops.zeros("state", DType::i32, {4});
            const ops::LayerNorm l{.x = rows("x"),
                                   .residual = rows("residual"),
                                   .gain = floats("gain", kHidden),
                                   .bias = floats("bias", kHidden),
                                   .z = rows("z"),
                                   .y = rows("y"),
                                   .mean = floats("mean", kRows),
                                   .rstd = floats("rstd", kRows),
                                   .rows_per_sequence = kSequence,
                                   .epsilon = 1e-12f,
                                   .dropout = {probability > 0 ? state : Tensor{}, 1, probability}};
            ops::layernorm_forward(ops.program, "layernorm", l);
            check(ops, fmt::format("{} dropout {}", text(dtype), probability));
            const ops::LayerNormGradients g{.dy = rows("dy"),
                                            .dz = rows("dz"),
                                            .dx = probability > 0 ? rows("dx") : Tensor{},
                                            .dgain = floats("dgain", kHidden),
                                            .dbias = floats("dbias", kHidden),
                                            .dx_sum = floats("dx_sum", kHidden),
                                            .accumulate = true};
            ops::layernorm_backward(ops.program, "layernorm.backward", l, g);
            check(ops, fmt::format("{} dropout {}", text(dtype), probability));
        }
    }
}

TEST_CASE("traffic budget: gather, scatter, merge, split") {
    constexpr int64_t count = kSequence / 2;
    for (const DType dtype : kFloatTypes) {
        MeasuredOps ops;
        const Tensor all = ops.random("all", dtype, {kRows, kHidden}),
                     rest = ops.random("rest", dtype, {kRows, kHidden}),
                     picked = ops.random("picked", dtype, {kBatch * count, kHidden}),
                     index = ops.tensor("index", DType::i32, {kBatch, count},
                                        [](int64_t i) { return 2 * (i % count) + 1; });
        const int64_t half = picked.bytes();
        ops.needs_only(all, half);
        ops::gather_rows(ops.program, "gather", all, index, picked);
        check(ops, text(dtype));
        ops.needs_only(all, half / 2);  // written, though the op must say that it reads what it leaves
        ops::scatter_rows(ops.program, "scatter", picked, index, all, ops::Scatter::replace);
        check(ops, text(dtype) + " replaced");
        ops.needs_only(all, half);
        ops::scatter_rows(ops.program, "scatter", picked, index, all, ops::Scatter::accumulate);
        check(ops, text(dtype) + " accumulated");
        ops.needs_only(rest, half);
        ops.needs_only(all, 2 * half);
        ops::merge_rows(ops.program, "merge", picked, index, rest, all);
        check(ops, text(dtype));
        ops.needs_only(rest, 2 * half);
        ops::split_rows(ops.program, "split", all, index, picked, rest, false);
        check(ops, text(dtype));
    }
}

TEST_CASE("traffic budget: cross-entropy and totals") {
    constexpr int64_t rows = 128;
    for (const DType dtype : kFloatTypes) {
        MeasuredOps ops;
        const auto floats = [&](const char* name, int64_t n) {
            return ops.tensor(name, DType::f32, {n}, [](int64_t) { return 1.0; });
        };
        const ops::CrossEntropy c{
            .logits = ops.random("logits", dtype, {rows, kPaddedVocabulary}),
            .labels = ops.tensor("labels", DType::i32, {rows}, [](int64_t i) { return i * 7919 % kVocabulary; }),
            .weights = floats("weights", rows),
            .gradient_scale = floats("scale", 1),
            .loss = floats("loss", rows),
            .correct = floats("correct", rows),
            .totals = floats("totals", 3),
            .columns = kVocabulary,
            .accumulate = false};
        ops::cross_entropy(ops.program, "cross_entropy", c);
        check(ops, text(dtype));
    }
}

TEST_CASE("traffic budget: embeddings") {
    for (const DType dtype : kFloatTypes) {
        MeasuredOps ops;
        const auto floats = [&](const char* name, const Shape& shape) { return ops.random(name, DType::f32, shape); };
        const ops::Embedding e{
            .ids = ops.tensor("ids", DType::i32, {kRows}, [](int64_t i) { return i * 7919 % kVocabulary; }),
            .types = ops.tensor("types", DType::i32, {kRows}, [](int64_t i) { return i % kSequence > 100; }),
            .word = floats("word", {kVocabulary, kHidden}),
            .position = floats("position", {kSequence, kHidden}),
            .type = floats("type", {2, kHidden}),
            .gain = floats("gain", {kHidden}),
            .bias = floats("bias", {kHidden}),
            .y = ops.zeros("y", dtype, {kRows, kHidden}),
            .mean = floats("mean", {kRows}),
            .rstd = floats("rstd", {kRows}),
            .sequence = kSequence,
            .epsilon = 1e-12f,
            .dropout = {ops.zeros("state", DType::i32, {4}), 1, 0.1f}};
        const int64_t words = kRows * kHidden * 4;  // all ids differ
        ops.needs_only(e.word, words);
        ops::embedding_forward(ops.program, "embedding", e);
        check(ops, text(dtype));
        const ops::EmbeddingGradients g{.dy = ops.random("dy", dtype, {kRows, kHidden}),
                                        .dword = floats("dword", {kVocabulary, kHidden}),
                                        .dposition = floats("dposition", {kSequence, kHidden}),
                                        .dtype = floats("dtype", {2, kHidden}),
                                        .dgain = floats("dgain", {kHidden}),
                                        .dbias = floats("dbias", {kHidden}),
                                        .accumulate = true};
        ops.needs_only(g.dword, words);
        ops::embedding_backward(ops.program, "embedding.backward", e, g);
        // Gradients before LayerNorm go to scratch, and are read for the words and for the positions: two more times
        // than scratch is counted. The ids are sorted there too, number by number.
        check(ops, text(dtype), {.moved = 1.46, .sector_use = 0.85});
    }
}

TEST_CASE("traffic budget: gradient norm, AdamW, LAMB") {
    const std::array segments = {kernels::Segment{0, kHidden * kHidden, true},
                                 kernels::Segment{kHidden * kHidden, kHidden, false},
                                 kernels::Segment{kHidden * (kHidden + 1), kHidden * kInner / 2, true}};
    const int64_t size = segments.back().offset + segments.back().size;
    for (const ops::Optimizer optimizer : {ops::Optimizer::adamw, ops::Optimizer::lamb}) {
        MeasuredOps ops;
        const auto floats = [&](const char* name) { return ops.random(name, DType::f32, {size}); };
        const float scalars[9] = {1e-4f, 0.01f, 0.9f, 0.999f, 1e-6f, 0.1f, 0.001f, 1.0f, 1.0f};
        const ops::Update u{.parameters = floats("parameters"),
                            .gradients = floats("gradients"),
                            .moment1 = floats("moment1"),
                            .moment2 = ops.zeros("moment2", DType::f32, {size}),
                            .copy = ops.zeros("copy", DType::bf16, {size}),
                            .norm = ops.zeros("norm", DType::f32, {1}),
                            .scalars = ops.tensor("scalars", DType::f32, {9}, [&](int64_t i) {
                                return static_cast<double>(scalars[static_cast<size_t>(i)]);
                            })};
        ops::update(ops.program, optimizer, u, segments);
        // LAMB's ratio needs all of a tensor's update before the first parameter can move: moments and parameters are
        // read once more, 42 bytes a parameter instead of 30.
        const bool lamb = optimizer == ops::Optimizer::lamb;
        check(ops, "");
        check(ops, "", {.moved = lamb ? 1.47 : 1.05});
    }
}

TEST_CASE("traffic budget: casts and additions") {
    for (const DType from : kFloatTypes) {
        MeasuredOps ops;
        const Tensor x = ops.random("x", from, {kRows, kHidden}), y = ops.random("y", from, {kRows, kHidden});
        ops::add(ops.program, "add", y, x);
        check(ops, text(from));
        for (const DType to : kFloatTypes) {
            ops::cast(ops.program, "cast", x, ops.zeros(text(to), to, {kRows, kHidden}));
            check(ops, text(from) + " to " + text(to));
        }
    }
}

// ------------------------------------------------------------------------------------------------ what must be noticed
/// A copy of n numbers that an op's kernel might be.
Measured measured_copy(const std::function<void(const float*, float*, int)>& kernel) {
    constexpr int64_t n = 1 << 20;
    MeasuredOps ops;
    const Tensor x = ops.random("x", DType::f32, {n}), y = ops.zeros("y", DType::f32, {n});
    ops.program.add("copy", {.reads = {x}, .writes = {y}},
                    [&](const Run& r) { kernel(r.at<float>(x), r.at<float>(y), n); });
    return ops.run_next();
}

TEST_CASE("traffic budget: strides, columns, neighbours, reading again are noticed") {
    using namespace simt::traffic_kernels;
    CHECK(within(measured_copy([](const float* x, float* y, int n) { copy(x, y, n, 1, 0); }), {}));
    const Measured strided = measured_copy([](const float* x, float* y, int n) { copy(x, y, n / 2, 2, 0); });
    CHECK(strided.sector_use == doctest::Approx(2.0 / 3));  // all of x, half of which is asked for; half of y
    CHECK(!within(strided, {}));
    const Measured columns = measured_copy([](const float* x, float* y, int) { transpose(x, y, 1024); });
    CHECK(columns.sector_use == doctest::Approx(2 * 4.0 / 36));
    CHECK(!within(columns, {}));
    const Measured neighbours = measured_copy([](const float* x, float* y, int n) {
        copy_neighbours(reinterpret_cast<const uint16_t*>(x), reinterpret_cast<uint16_t*>(y), 2 * n);
    });
    CHECK(neighbours.sector_use == doctest::Approx(0.125));
    CHECK(!within(neighbours, {}));
    CHECK(within(measured_copy([](const float* x, float* y, int n) { read_again(x, y, n, true, false); }), {}));
    const Measured again = measured_copy([](const float* x, float* y, int n) { read_again(x, y, n, false, true); });
    CHECK(again.moved / again.needed >= 1.5);
    CHECK(!within(again, {}));
}

}  // namespace
}  // namespace dropforge
