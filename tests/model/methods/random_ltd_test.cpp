// Random-LTD: how many tokens each stage works on, which are drawn, and the step that works on them.
// label: levels
#include "model/methods/random_ltd.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "tests/support/count_allocations.h"
#include "tests/support/finite_differences.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr int64_t kSequence = 24, kKeep = 9;
constexpr StepKind kStage{1};

BertConfig five_layers(float dropout) {
    BertConfig c = small_config(dropout, 5);
    c.initializer_range = 0.15f;
    return c;
}

StepOptions ltd_options(const BertConfig& c, const data::Batch& batch, int64_t micro_batch, int64_t keep = kKeep,
                        DType dtype = DType::f32) {
    StepOptions o = options_for(batch, micro_batch, dtype);
    const RandomLtdOptions options{.start = {static_cast<double>(keep), false}, .stage = 1000};
    o.method = std::make_shared<RandomLtd>(RunShape{c, batch.length, 1000, batch.masked, false}, options);
    o.kinds = {StepKind::dense, kStage};
    return o;
}

/// The formula of docs/algorithms.md, step by step.
int64_t keep_at(int64_t step, int64_t sequence, int64_t start, int64_t stage, int64_t total) {
    const int64_t t = step - 1;
    return t >= total ? sequence : start + stage * ((sequence - start) * t / (total * stage));
}

TEST_CASE("K of every step is the formula's, and counts are those of the steps") {
    const BertConfig c = five_layers(0);
    struct Ramp {
        int64_t sequence, start, stage, total, steps;
    };
    for (const Ramp& ramp : {Ramp{128, 32, 16, 75, 100}, Ramp{128, 32, 16, 3, 20},  // fewer steps than stages
                             Ramp{100, 30, 7, 50, 60},                              // no multiple of anything
                             Ramp{128, 128, 16, 50, 60},                            // dense from the start
                             Ramp{64, 1, 1, 500, 400},                              // the run ends before the ramp
                             Ramp{64, 16, 100, 30, 40}})                            // one stage
    {
        const int64_t sequence = ramp.sequence, start = ramp.start, stage = ramp.stage, total = ramp.total,
                      steps = ramp.steps;
        CAPTURE(sequence);
        CAPTURE(total);
        const auto count = [](int64_t n) { return CountOrShare{static_cast<double>(n), false}; };
        const RandomLtd method({c, sequence, steps, 5, false}, {count(start), count(total), stage});
        const std::vector<std::string> names = method.kinds();
        std::vector<int64_t> counts(names.size());
        for (int64_t step = 1; step <= steps; ++step) {
            const int64_t keep = keep_at(step, sequence, start, stage, total);
            const auto kind = static_cast<size_t>(method.kind(step));
            CAPTURE(step);
            REQUIRE(names[kind] == (keep == sequence ? "dense" : fmt::format("{} tokens", keep)));
            ++counts[kind];
        }
        for (uint32_t i = 0; i < names.size(); ++i) CHECK(method.count(StepKind{i}) == counts[i]);
    }
}

TEST_CASE("FLOPs are the formula's, and the step needs less memory than the dense one") {
    const BertConfig c = BertConfig::preset("bert-mini");
    const Parameters parameters(c, {mlm_head()});
    StepOptions o{.batch = 8, .micro_batch = 8, .sequence = 128, .masked = 19};
    o.method = std::make_shared<RandomLtd>(RunShape{c, 128, 1000, 19, false}, RandomLtdOptions{.start = {32, false}});
    o.kinds = {StepKind::dense, kStage};
    const StepPrograms p(parameters, o);
    const auto h = static_cast<double>(c.hidden), l = static_cast<double>(c.layers);
    const auto layer = [&](double rows, double keys) {
        return rows * 20 * h * h + keys * 4 * h * h + 4 * rows * keys * h;
    };
    const double wanted = 3 * (layer(128, 128) + (l - 2) * layer(32, 32) + layer(19, 128) +
                               19 * (2 * h * h + 2 * h * static_cast<double>(c.vocabulary)));
    CHECK(p.of(kStage).first.program.flops() == 8 * wanted);
    CHECK(p.of(kStage).first.plan.bytes < p.of(StepKind::dense).first.plan.bytes);
    CHECK(static_cast<double>(p.of(kStage).first.plan.bytes) <=
          1.05 * static_cast<double>(p.of(kStage).first.plan.lower_bound));
}

TEST_CASE("the gradient of the whole step is that of its loss, by finite differences") {
    for (const BatchParts& parts : {BatchParts{}, BatchParts{.lengths = true, .types = true, .next_sentence = true}}) {
        CAPTURE(parts.lengths);
        const data::Batch batch = random_batch(small_config(0), 4, kSequence, 5, parts);
        const Parameters parameters(five_layers(0.1f), heads_for(batch));
        ReadyStep step(parameters, ltd_options(parameters.config(), batch, 2));
        check_gradient(parameters, step, batch, kStage, gradient_error_limit(parameters, batch));
    }
}

TEST_CASE("1 x 12, 3 x 4 and 12 x 1 give the same gradients, to f32 rounding: what is drawn does not depend on it") {
    const data::Batch batch = random_batch(small_config(0), 12, kSequence, 5, {.lengths = true});
    const Parameters parameters(five_layers(0.1f), {mlm_head()});
    const auto gradients = [&](int64_t micro_batch) {
        return backward(parameters, ltd_options(parameters.config(), batch, micro_batch), batch, kStage).gradients;
    };
    const Parameters plain(five_layers(0), {mlm_head()});
    const auto dense = [&](const data::Batch& b) { return backward(plain, options_for(b, 12), b).gradients; };
    const std::vector<float> full_batch = gradients(12), shown = dense(batch), rounded = dense(reversed(batch));
    for (const int64_t micro_batch : {4, 1})
        check_same(parameters, gradients(micro_batch), full_batch, {rounded, shown}, 12);
}

/// What layers 1 … 3 draw at a step: of each sequence the K tokens with the largest numbers of the layer's stream.
LtdStage drawn_stage(const data::Batch& batch, uint32_t step) {
    const auto context = kernels::cpu().create_context();
    const std::vector<float> zeros(static_cast<size_t>(small_config(0).vocabulary));
    const uint32_t noise[] = {3, 0, step, 0};  // 3: the seed of options_for()
    LtdStage stage{.first_step = 1, .keep = kKeep};
    for (uint32_t layer = 1; layer <= 3; ++layer) {
        std::vector<float> values(batch.input_ids.size());
        kernels::cpu().token_values({batch.input_ids.data(), zeros.data(), noise, values.data(), batch.sequences,
                                     batch.length, kRoutingDraw - layer},
                                    *context);
        auto& positions = stage.positions.emplace_back();
        for (auto sequence = values.begin(); sequence != values.end(); sequence += batch.length)
            std::ranges::copy(sorted_choice({sequence, sequence + batch.length}, batch.length, kKeep),
                              std::back_inserter(positions));
    }
    return stage;
}

TEST_CASE("a step draws what the streams of its layers give: the step with those positions given, bit for bit") {
    const data::Batch batch = random_batch(small_config(0), 8, kSequence, 5);
    const BertConfig c = five_layers(0);
    const Parameters parameters(c, {mlm_head()});
    const StepOptions drawn = ltd_options(c, batch, 8);
    const auto with = [&](LtdStage stage) {
        StepOptions o = drawn;
        o.method = std::make_shared<RandomLtd>(RunShape{c, kSequence, 1000, 5, false}, std::vector{std::move(stage)});
        o.kinds = {kStage};
        return backward(parameters, o, batch, kStage);
    };
    const Backward got = backward(parameters, drawn, batch, kStage);  // step 5
    CHECK(got.gradients == with(drawn_stage(batch, 5)).gradients);
    CHECK(got.gradients != with(drawn_stage(batch, 6)).gradients);
    LtdStage exchanged = drawn_stage(batch, 5);
    std::swap(exchanged.positions[0], exchanged.positions[2]);
    CHECK(got.gradients != with(exchanged).gradients);
}

TEST_CASE("another step, layer or sequence draws other tokens; each position is drawn as often as another") {
    const data::Batch batch = random_batch(small_config(0), 8, kSequence, 5);
    std::vector<int> drawn(static_cast<size_t>(batch.length));
    std::set<std::vector<int32_t>> seen;
    for (uint32_t step = 1; step <= 20; ++step)
        for (const std::vector<int32_t>& positions : drawn_stage(batch, step).positions) {
            for (const int32_t p : positions) ++drawn[static_cast<size_t>(p)];
            for (auto kept = positions.begin(); kept != positions.end(); kept += kKeep)
                seen.emplace(kept, kept + kKeep);
        }
    CHECK(seen.size() >= 478);  // of 480, out of 1.3 million choices: 0.09 are expected to be equal by chance
    // 480 draws of probability 9/24: 5 standard deviations of a binomial distribution are 53.
    for (const int n : drawn) CHECK(std::abs(n - 180) < 54);
}

TEST_CASE("given positions of all tokens are the dense step, to f32 rounding") {
    const data::Batch batch = random_batch(small_config(0), 6, kSequence, 5, {.lengths = true});
    const BertConfig c = five_layers(0);
    const Parameters parameters(c, {mlm_head()});
    LtdStage stage{.first_step = 1, .keep = kSequence, .positions = {}};
    for (int layer = 1; layer <= 3; ++layer) {
        auto& positions = stage.positions.emplace_back();
        positions.resize(static_cast<size_t>(batch.sequences * kSequence));
        for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i % kSequence);
    }
    StepOptions o = options_for(batch, 3);
    o.method = std::make_shared<RandomLtd>(RunShape{c, kSequence, 10, 5, false}, std::vector{stage});
    o.kinds = {kStage};
    const Backward got = backward(parameters, o, batch, kStage),
                   dense = backward(parameters, options_for(batch, 3), batch),
                   rounded = backward(parameters, options_for(batch, 3), reversed(batch));
    CHECK(got.result.loss == dense.result.loss);  // the same sums in the same order
    check_same(parameters, got.gradients, dense.gradients, {rounded.gradients, dense.gradients}, 3);
}

TEST_CASE("no step allocates after the first of its kind, and training lowers the loss of the whole model") {
    const data::Batch batch = random_batch(small_config(0), 8, kSequence, 5);
    const Parameters parameters(small_config(0, 5), {mlm_head()});
    ReadyStep step(parameters, ltd_options(parameters.config(), batch, 4));
    const double first = step.backward(batch, 1).loss;
    int64_t before = 0;
    for (int64_t i = 1; i <= 60; ++i) {
        step.backward(batch, i, kStage);
        step.update(i, 3e-3);
        if (i == 1) before = allocations();
    }
    if (kCountsAllocations) CHECK(allocations() - before == 0);
    CHECK(step.backward(batch, 61).loss < 0.7 * first);
}

}  // namespace
}  // namespace dropforge
