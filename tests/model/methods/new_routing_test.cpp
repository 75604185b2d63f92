// A routing that is not built in, with another number of tokens in every layer: tests/support/pyramid_routing.h, which
// docs/new-routing.md shows.
// one thread: many steps of a model so small that sharing out their work costs more than it gives.
#include <doctest/doctest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "engine/buffer.h"
#include "engine/executor.h"
#include "model/methods/token_dropping.h"
#include "model/network/names.h"
#include "tests/support/finite_differences.h"
#include "tests/support/paths.h"
#include "tests/support/pyramid_routing.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr int64_t kSequence = 24, kKeep = 7;
constexpr double kLambda = 0.5;                         // small enough for the divergences' rounding not to count
const std::vector<int64_t> kRows = {24, 18, 12, 7, 7};  // of six layers; the last sees all

BertConfig six_layers(float dropout) {
    BertConfig c = small_config(dropout, 6);
    c.initializer_range = 0.15f;
    return c;
}

StepOptions pyramid_options(const BertConfig& c, const data::Batch& batch, int64_t micro_batch, double lambda = kLambda,
                            std::shared_ptr<const Routing> routing = std::make_shared<PyramidRouting>()) {
    return dropping_options_for(c, batch, micro_batch, kKeep, DType::f32, {}, {.lambda = lambda}, std::move(routing));
}

TEST_CASE("docs/new-routing.md shows this very file") {
    const fs::path source = fs::path(kTestData).parent_path();
    const std::string page = read_text(source.parent_path() / "docs/new-routing.md"),
                      file = read_text(source / "support" / "pyramid_routing.h");
    CHECK(page.find("```cpp\n" + file + "```\n") != std::string::npos);
}

TEST_CASE("every layer works on as many tokens as asked: FLOPs are the formula's with these rows") {
    const data::Batch batch = random_batch(small_config(0), 4, kSequence, 5);
    const BertConfig c = six_layers(0);
    const Parameters parameters(c, {mlm_head()});
    const StepPrograms p(parameters, pyramid_options(c, batch, 2));
    CHECK(p.options.method->chosen(kDroppingStep)[0].count == kRows[1]);
    // docs/algorithms.md, "FLOPs": R query rows over the rows of the layer before as keys.
    const auto h = static_cast<double>(c.hidden), f = static_cast<double>(c.intermediate),
               m = static_cast<double>(batch.masked), s = static_cast<double>(kSequence);
    const auto layer = [&](double queries, double keys) {
        return queries * (4 * h * h + 4 * h * f) + keys * 4 * h * h + 4 * queries * keys * h;
    };
    double dropped = 0;
    for (size_t i = 1; i < kRows.size(); ++i)
        dropped += layer(static_cast<double>(kRows[i]), static_cast<double>(kRows[i - 1]));
    const double heads = m * (2 * h * h + 2 * h * static_cast<double>(c.vocabulary));
    CHECK(p.flops(kDroppingStep) == 4 * 3 * (layer(s, s) + dropped + layer(m, s) + heads));
    CHECK(p.flops(kAlignStep) == 4 * 3 * (layer(s, s) + dropped + 4 * layer(s, s) + 2 * layer(m + 1, s) + 2 * heads));
    for (const PlannedProgram* planned : p.all())
        CHECK(static_cast<double>(planned->plan.bytes) <= 1.05 * static_cast<double>(planned->plan.lower_bound));
}

TEST_CASE("what stays in a layer stayed in all before it: the largest values, of the real tokens first") {
    const data::Batch batch = random_batch(small_config(0), 6, kSequence, 5, {.lengths = true});
    const Parameters parameters(six_layers(0), {mlm_head()});
    // A Program of the routing alone; every position's number goes through the choices.
    Program program("routing");
    Builder g(program, parameters, {.batch = 6, .sequence = kSequence, .lengths = true});
    const DroppedTokens dropped = drop_tokens(g, PyramidRouting(), kKeep);
    Tensor positions = program.bound("positions", DType::f32, {6 * kSequence, 1});
    std::vector<size_t> layers;
    for (size_t i = 0; i < dropped.subsets.size(); ++i) {
        const TokenSubset& subset = dropped.subsets[i];
        if (!subset.index) continue;
        layers.push_back(i);
        const std::string name = "positions" + std::to_string(i);
        const Tensor picked = program.bound(name, DType::f32, {subset.index.shape.size(), 1});
        ops::gather_rows(program, name, positions, subset.index, picked);
        positions = picked;
    }
    CHECK(dropped.first == 1);
    CHECK(layers == std::vector<size_t>{1, 2, 3});

    const PlannedProgram planned(std::move(program));
    const auto context = kernels::cpu().create_context();
    Buffer arena(planned.plan.bytes);
    Executor executor(planned.program, planned.plan, arena.as<>(), kernels::cpu(), *context);
    std::vector<float> table(203), numbers;
    fill_importance(table, 3);
    for (int64_t i = 0; i < 6 * kSequence; ++i) numbers.push_back(static_cast<float>(i % kSequence));
    std::vector<std::vector<float>> kept;
    for (const size_t i : layers) kept.emplace_back(static_cast<size_t>(6 * kRows[i]));
    std::vector<int32_t> first(static_cast<size_t>(6 * kRows[1]));
    executor.bind(names::kImportance, table.data());
    executor.bind("positions", numbers.data());
    executor.bind(names::kKeptPositions, first.data());
    executor.bind(names::kInputIds, const_cast<int32_t*>(batch.input_ids.data()));  // only read
    executor.bind(names::kLengths, const_cast<int32_t*>(batch.lengths.data()));
    for (size_t i = 0; i < layers.size(); ++i) executor.bind("positions" + std::to_string(layers[i]), kept[i].data());
    executor.run();
    for (size_t i = 0; i < layers.size(); ++i)
        for (int64_t s = 0; s < batch.sequences; ++s) {
            const int64_t rows = kRows[layers[i]];
            const auto begin = kept[i].begin() + s * rows;
            // Nested, since the largest 12 are the largest 12 of the largest 18.
            CHECK(std::vector<int32_t>(begin, begin + rows) ==
                  sorted_choice(values_of(table, batch, s), batch.lengths[static_cast<size_t>(s)], rows));
        }
}

TEST_CASE("the gradient through nested choices is that of the loss, by finite differences") {
    const data::Batch batch = random_batch(small_config(0), 4, kSequence, 5, {.lengths = true});
    const Parameters parameters(six_layers(0.1f), {mlm_head()});
    ReadyStep step(parameters, pyramid_options(parameters.config(), batch, 2));
    const double limit = gradient_error_limit(parameters, batch);
    CHECK(limit < 1e-3);  // far below a term left out, which is of the gradient's own size
    check_gradient(parameters, step, batch, kDroppingStep, limit);
    check_gradient(parameters, step, batch, kAlignStep, limit);
}

TEST_CASE("1 x 12, 3 x 4 and 12 x 1 give the same gradients, to f32 rounding, with dropout") {
    const data::Batch batch = random_batch(small_config(0), 12, kSequence, 5, {.lengths = true});
    const Parameters plain(six_layers(0), {mlm_head()}), dropped(six_layers(0.1f), {mlm_head()});
    const auto gradients = [&](const Parameters& p, const data::Batch& b, int64_t micro_batch) {
        return backward(p, pyramid_options(p.config(), b, micro_batch), b, kDroppingStep).gradients;
    };
    const std::vector<float> full_batch = gradients(plain, batch, 12), rounded = gradients(plain, reversed(batch), 12),
                             full_batch_dropped = gradients(dropped, batch, 12);
    for (const int64_t micro_batch : {4, 1}) {
        CAPTURE(micro_batch);
        check_same(plain, gradients(plain, batch, micro_batch), full_batch, {rounded, full_batch}, 12);
        check_same(plain, gradients(dropped, batch, micro_batch), full_batch_dropped, {rounded, full_batch}, 12);
    }
}

TEST_CASE("training with it lowers the loss of the whole model, and the table learns") {
    const data::Batch batch = random_batch(small_config(0), 8, kSequence, 5);
    const Parameters parameters(small_config(0.1f, 6), {mlm_head()});
    ReadyStep step(parameters, pyramid_options(parameters.config(), batch, 8, 0.05));
    const std::vector<float> before = step.programs().options.method->initial_state(names::kImportance, {});
    std::ranges::copy(before, importance_of(step).begin());
    const double first = step.backward(batch, 1).loss;
    for (int64_t i = 1; i <= 60; ++i) {
        step.backward(batch, i, i % 10 == 0 ? kAlignStep : kDroppingStep);
        step.update(i, 3e-3);
    }
    CHECK(step.backward(batch, 61).loss < 0.7 * first);
    const auto label = static_cast<size_t>(batch.masked_labels[0]);
    CHECK(importance_of(step)[label] < before[label]);
    CHECK(importance_of(step)[kSpecial.mask] == kNeverDropped);
}

/// As many rows as it is given.
class GivenRouting final : public Routing {
  public:
    explicit GivenRouting(std::vector<int64_t> rows) : rows_(std::move(rows)) {}

  private:
    std::vector<float> table(int64_t vocabulary, std::span<const int64_t>) const override {
        return std::vector<float>(static_cast<size_t>(vocabulary));
    }
    std::vector<int64_t> rows(int64_t, int64_t, int64_t) const override { return rows_; }

    std::vector<int64_t> rows_;
};

TEST_CASE("impossible numbers of tokens are refused by layer; those at the edge are not") {
    const data::Batch batch = random_batch(small_config(0), 2, kSequence, 5);
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    const auto build = [&](std::vector<int64_t> rows) {
        const StepOptions o =
            pyramid_options(parameters.config(), batch, 2, kLambda, std::make_shared<GivenRouting>(std::move(rows)));
        return StepPrograms(parameters, o).options.method->chosen(kDroppingStep)[0].count;
    };
    const auto refused = [&](std::vector<int64_t> rows, const char* what) {
        CHECK_THROWS_WITH_AS(build(std::move(rows)), what, Error);
    };
    refused({24, 12, 12}, "routing: numbers of tokens for 3 layers, the model has 4");
    refused({24, 12, 13, 24}, "routing: layer 2 works on 13 tokens; it must be 1 … 12");
    refused({25, 12, 12, 24}, "routing: layer 0 works on 25 tokens; it must be 1 … 24");
    refused({24, 12, 0, 24}, "routing: layer 2 works on 0 tokens; it must be 1 … 12");
    CHECK(build({24, 24, 24, 0}) == 24);  // the last number does not count
    CHECK(build({1, 1, 1, 24}) == 1);
    CHECK(build({24, 24, 1, 24}) == 1);
}

TEST_CASE("tokens dropped in the first layer or in the last but one: the gradient is that of the loss") {
    const data::Batch batch = random_batch(small_config(0), 4, kSequence, 5);
    BertConfig c = small_config(0.1f, 4);
    c.initializer_range = 0.15f;
    const Parameters parameters(c, {mlm_head()});
    const double limit = gradient_error_limit(parameters, batch);
    for (const std::vector<int64_t>& rows : {std::vector<int64_t>{9, 9, 5, 0}, {24, 24, 9, 0}}) {
        CAPTURE(rows[0]);
        ReadyStep step(parameters, pyramid_options(c, batch, 2, kLambda, std::make_shared<GivenRouting>(rows)));
        check_gradient(parameters, step, batch, kDroppingStep, limit);
        check_gradient(parameters, step, batch, kAlignStep, limit);
    }
}

}  // namespace
}  // namespace dropforge
