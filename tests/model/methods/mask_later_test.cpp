// Mask later: the step whose first layers leave [MASK] out, and its evaluation.
// label: levels
#include "model/methods/mask_later.h"

#include <doctest/doctest.h>

#include <vector>

#include "base/error.h"
#include "tests/support/count_allocations.h"
#include "tests/support/finite_differences.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr int64_t kSequence = 24, kMasks = 4;

BertConfig four_layers(float dropout) {
    BertConfig c = small_config(dropout, 4);
    c.initializer_range = 0.15f;
    return c;
}

/// kMasks [MASK] in every sequence, not all at masked slots, some next to each other.
data::Batch masked_batch(int64_t sequences, const BatchParts& parts = {}) {
    data::Batch b = random_batch(small_config(0), sequences, kSequence, 5, parts);
    for (int64_t s = 0; s < sequences; ++s) {
        int32_t* ids = b.input_ids.data() + s * kSequence;
        for (int64_t i = 0; i < kSequence; ++i)
            if (ids[i] == kSpecial.mask) ids[i] = 50;
        for (const int64_t i : {int64_t{2}, 3 + s % 3, int64_t{7}, 9 + s % 2}) ids[i] = kSpecial.mask;
    }
    return b;
}

StepOptions later_options(const BertConfig& c, const data::Batch& batch, int64_t micro_batch, int64_t layer,
                          int64_t masks = kMasks) {
    StepOptions o = options_for(batch, micro_batch);
    o.method = std::make_shared<MaskLater>(RunShape{c, batch.length, 1000, batch.masked, false}, layer, masks);
    o.kinds = {o.method->kind(1)};
    return o;
}

TEST_CASE("the gradient of the whole step is that of its loss, by finite differences") {
    for (const BatchParts& parts : {BatchParts{}, BatchParts{.lengths = true, .types = true, .next_sentence = true}}) {
        CAPTURE(parts.lengths);
        const data::Batch batch = masked_batch(4, parts);
        const Parameters parameters(four_layers(0.1f), heads_for(batch));
        const double limit = gradient_error_limit(parameters, batch);
        for (const int64_t layer : {1, 2, 3}) {
            CAPTURE(layer);
            ReadyStep step(parameters, later_options(parameters.config(), batch, 2, layer));
            check_gradient(parameters, step, batch, kMaskLaterStep, limit);
        }
    }
}

TEST_CASE("layer 0, and no [MASK] at all, are dense training, bit for bit") {
    const data::Batch batch = masked_batch(6);
    const Parameters parameters(four_layers(0.1f), {mlm_head()});
    const Backward dense = backward(parameters, options_for(batch, 3), batch);
    for (const auto& [layer, masks] : {std::pair<int64_t, int64_t>{0, kMasks}, {2, 0}}) {
        const StepOptions o = later_options(parameters.config(), batch, 3, layer, masks);
        CHECK(o.kinds.front() == StepKind::dense);
        CHECK(o.method->count(StepKind::dense) == 1000);
        const Backward got = backward(parameters, o, batch);
        CHECK(got.result.loss == dense.result.loss);
        CHECK(got.gradients == dense.gradients);
    }
}

TEST_CASE("FLOPs are the formula's") {
    const BertConfig c = BertConfig::preset("bert-mini");
    const Parameters parameters(c, {mlm_head()});
    StepOptions o{.batch = 8, .micro_batch = 8, .sequence = 128, .masked = 19};
    o.method = std::make_shared<MaskLater>(RunShape{c, 128, 1000, 19, false}, 2, 19);
    o.kinds = {kMaskLaterStep};
    const auto h = static_cast<double>(c.hidden), l = static_cast<double>(c.layers);
    const auto layer = [&](double rows, double keys) {
        return rows * 20 * h * h + keys * 4 * h * h + 4 * rows * keys * h;
    };
    const double wanted = 3 * (2 * layer(109, 109) + (l - 3) * layer(128, 128) + layer(19, 128) +
                               19 * (2 * h * h + 2 * h * static_cast<double>(c.vocabulary)));
    CHECK(StepPrograms(parameters, o).of(kMaskLaterStep).first.program.flops() == 8 * wanted);
}

TEST_CASE("12 x 1 gives the gradients of 1 x 12, to f32 rounding; the rows that take part are those without [MASK]") {
    const data::Batch batch = masked_batch(12, {.lengths = true});
    const Parameters parameters(four_layers(0.1f), {mlm_head()});
    const auto of = [&](int64_t micro_batch, const data::Batch& b) {
        return backward(parameters, later_options(parameters.config(), b, micro_batch, 2), b, kMaskLaterStep).gradients;
    };
    const Parameters plain(four_layers(0), {mlm_head()});
    const auto dense = [&](const data::Batch& b) { return backward(plain, options_for(b, 12), b).gradients; };
    check_same(parameters, of(1, batch), of(12, batch), {dense(reversed(batch)), dense(batch)}, 12);

    ReadyStep step(parameters, later_options(parameters.config(), batch, 4, 2));
    step.backward(batch, 1, kMaskLaterStep);
    const std::vector<int32_t> kept = step.output<int32_t>("kept_positions");
    std::vector<int32_t> wanted;
    for (size_t i = 0; i < batch.input_ids.size(); ++i)
        if (batch.input_ids[i] != kSpecial.mask) wanted.push_back(static_cast<int32_t>(i % kSequence));
    CHECK(kept == wanted);
}

TEST_CASE("a sequence with another number of [MASK] is refused by its number") {
    data::Batch batch = masked_batch(4);
    batch.input_ids[2 * kSequence + 7] = 60;
    const Parameters parameters(four_layers(0), {mlm_head()});
    ReadyStep step(parameters, later_options(parameters.config(), batch, 2, 2));
    CHECK_THROWS_WITH_AS(step.backward(batch, 1, kMaskLaterStep),
                         "mask_later: sequence 2 of the batch has 3 [MASK], it must have 4", Error);
}

TEST_CASE("an evaluation leaves [MASK] out as training does: the loss of a step without dropout") {
    const data::Batch batch = masked_batch(6);
    const BertConfig c = four_layers(0);
    const Parameters parameters(c, {mlm_head()});
    const StepOptions o = later_options(c, batch, 6, 2);
    ReadyStep step(parameters, o);
    const StepResult trained = step.backward(batch, 1, kMaskLaterStep);
    ForwardPass pass(parameters,
                     o.method->evaluation_program(
                         parameters, {.batch = 6, .sequence = kSequence, .masked = batch.masked, .dtype = DType::f32}),
                     step.values(), DType::f32, kernels::cpu(), o.method.get());
    pass.run(batch);
    CHECK(pass.output<float>("mlm_totals")[0] == trained["mlm_loss"]);  // the same sums in the same order
    ForwardPass full(
        parameters,
        dense()->evaluation_program(parameters, {.batch = 6, .sequence = kSequence, .masked = batch.masked}),
        step.values(), DType::f32, kernels::cpu());
    full.run(batch);
    CHECK(std::abs(full.output<float>("mlm_totals")[0] / trained["mlm_loss"] - 1) > 1e-4);  // it is another function
}

TEST_CASE("no step allocates after the first, and training lowers the loss") {
    const data::Batch batch = masked_batch(8);
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    ReadyStep step(parameters, later_options(parameters.config(), batch, 4, 2));
    const double first = step.backward(batch, 1, kMaskLaterStep).loss;
    int64_t before = 0;
    for (int64_t i = 1; i <= 60; ++i) {
        step.backward(batch, i, kMaskLaterStep);
        step.update(i, 3e-3);
        if (i == 1) before = allocations();
    }
    if (kCountsAllocations) CHECK(allocations() - before == 0);
    CHECK(step.backward(batch, 61, kMaskLaterStep).loss < 0.7 * first);
}

}  // namespace
}  // namespace dropforge
