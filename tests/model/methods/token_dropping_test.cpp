// Token dropping: which tokens stay, the step without the others, and the importance table.
// label: levels
#include "model/methods/token_dropping.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <set>

#include "base/error.h"
#include "model/network/names.h"
#include "tests/support/count_allocations.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr StepKind kKinds[] = {StepKind::dense, kDroppingStep, kAlignStep};

std::vector<int32_t> kept_of(const TrainingStep& step, int64_t sequence) {
    const std::vector<int32_t> kept = step.output<int32_t>(names::kKeptPositions);
    const int64_t count = step.programs().options.method->chosen(kDroppingStep)[0].count;
    return {kept.begin() + sequence * count, kept.begin() + (sequence + 1) * count};
}

template <typename T>
bool same_bits(const T* a, const T* b, int64_t n) {
    return std::memcmp(a, b, static_cast<size_t>(n) * sizeof(T)) == 0;
}

/// Three steps of both from the same weights.
void check_same_steps(TrainingStep& dropping, TrainingStep& dense, const data::Batch& batch, int64_t parameters) {
    for (int64_t i = 1; i <= 3; ++i) {
        CAPTURE(i);
        const StepResult a = dropping.backward(batch, i, kDroppingStep), b = dense.backward(batch, i);
        CHECK(a.loss == b.loss);
        CHECK(dropping.output<float>(names::kPositionLoss) == dense.output<float>(names::kPositionLoss));
        CHECK(same_bits(dropping.gradients(), dense.gradients(), parameters));
        CHECK(dropping.update(i, 1e-3) == dense.update(i, 1e-3));
        CHECK(same_bits(dropping.values(), dense.values(), parameters));
    }
}

TEST_CASE("keep = S is the dense step, bit for bit, with dropout") {
    for (const BatchParts& parts : {BatchParts{}, BatchParts{.lengths = true, .types = true, .next_sentence = true}}) {
        CAPTURE(parts.lengths);
        const data::Batch batch = random_batch(small_config(0), 6, 24, 5, parts);
        const Parameters parameters(small_config(0.1f, 4), heads_for(batch));
        for (const DType dtype : {DType::f32, DType::bf16}) {
            CAPTURE(std::string(name_of(dtype)));
            ReadyStep dropping(parameters, dropping_options_for(parameters.config(), batch, 3, 24, dtype)),
                dense(parameters, options_for(batch, 3, dtype));
            check_same_steps(dropping, dense, batch, parameters.size());
            CHECK(dropping.programs().flops(kDroppingStep) == dense.programs().flops(StepKind::dense));
        }
    }
}

TEST_CASE("routing picks what a sort picks, with ties and padding") {
    const data::Batch batch = random_batch(small_config(0), 6, 24, 5, {.lengths = true});
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    for (const int64_t keep : {2, 7, 12, 23}) {
        CAPTURE(keep);
        ReadyStep step(parameters, dropping_options_for(parameters.config(), batch, 3, keep));
        REQUIRE(step.programs().options.method->chosen(kDroppingStep)[0].count == keep);
        for (uint64_t table = 0; table < 4; ++table) {
            fill_importance(importance_of(step), table);
            for (const StepKind kind : {kDroppingStep, kAlignStep}) {
                step.backward(batch, 1, kind);
                for (int64_t s = 0; s < batch.sequences; ++s) {
                    const std::vector<float> values = values_of(importance_of(step), batch, s);
                    CHECK(kept_of(step, s) == sorted_choice(values, batch.lengths[static_cast<size_t>(s)], keep));
                }
            }
        }
    }
}

TEST_CASE("1 x 16, 4 x 4 and 16 x 1 give the same gradients and importance, to f32 rounding") {
    const BatchParts parts{.lengths = true};
    const data::Batch batch = random_batch(small_config(0), 16, 24, 5, parts);
    const Parameters plain(small_config(0, 4), {mlm_head()}), dropped(small_config(0.1f, 4), {mlm_head()});
    struct Pass : Backward {
        std::vector<float> importance;
    };
    const auto pass = [&](const Parameters& p, const data::Batch& b, int64_t micro_batch, const std::string& routing) {
        ReadyStep step(p, dropping_options_for(p.config(), b, micro_batch, 11, DType::f32, {.routing = routing}));
        Pass r;
        r.result = step.backward(b, 5, kDroppingStep);
        r.gradients.assign(step.gradients(), step.gradients() + p.size());
        step.update(1, 0);
        r.importance.assign(importance_of(step).begin(), importance_of(step).end());
        return r;
    };
    const Pass full_batch = pass(plain, batch, 16, "importance"),
               rounded = pass(plain, reversed(batch), 16, "importance"), random = pass(dropped, batch, 16, "random");
    const HfTensor table{"importance", {std::ssize(full_batch.importance)}, 0, false};
    for (const int64_t micro_batch : {4, 1}) {
        CAPTURE(micro_batch);
        const Pass parts_of = pass(plain, batch, micro_batch, "importance"),
                   random_parts = pass(dropped, batch, micro_batch, "random");
        const Rounding shown{rounded.gradients, full_batch.gradients};
        check_same(plain, parts_of.gradients, full_batch.gradients, shown, 16);
        check_same(plain, random_parts.gradients, random.gradients, shown, 16);
        // Reversed or in parts, the losses of an id are added up in another order.
        CHECK(difference(table, parts_of.importance, full_batch.importance) <=
              8 * difference(table, rounded.importance, full_batch.importance) + 16 * 0x1p-24);
        CHECK(random_parts.importance == random.importance);  // it does not learn
        CHECK(parts_of.result["mlm_count"] == full_batch.result["mlm_count"]);
    }
}

/// One step's update of the table against the formula in double precision (docs/algorithms.md, "Token dropping").
void check_update(TrainingStep& step, const data::Batch& batch, StepKind kind, double beta) {
    const std::vector<float> before(importance_of(step).begin(), importance_of(step).end());
    step.backward(batch, 1, kind);
    const std::vector<float> loss = step.output<float>(names::kPositionLoss);
    std::vector<double> sum(before.size()), count(before.size());
    for (size_t i = 0; i < batch.masked_labels.size(); ++i) {
        if (batch.masked_weights[i] == 0) continue;
        sum[static_cast<size_t>(batch.masked_labels[i])] += double{loss[i]};
        count[static_cast<size_t>(batch.masked_labels[i])] += 1;
    }
    step.update(1, 1e-3);
    std::set<size_t> fixed;
    for (const kernels::FixedValue& f : fixed_values(kSpecial)) {
        fixed.insert(static_cast<size_t>(f.id));
        CHECK(importance_of(step)[static_cast<size_t>(f.id)] == f.value);
    }
    size_t changed = 0;
    for (size_t id = 0; id < before.size(); ++id) {
        if (fixed.contains(id)) continue;
        CAPTURE(id);
        const float got = importance_of(step)[id];
        if (count[id] == 0) {
            CHECK(got == before[id]);
            continue;
        }
        const double mean = sum[id] / count[id], want = beta * double{before[id]} + (1 - beta) * mean;
        // f32: a rounding for each addend of the sum of losses, one for the result.
        const double error = std::abs(double{got} - want),
                     limit = 0x1p-24 * (std::abs(want) + (1 - beta) * mean * count[id]);
        const bool within = error <= limit;
        CHECK_MESSAGE(within, error << " > " << limit);
        changed += got != before[id] ? 1 : 0;
    }
    CHECK(changed > 10);
}

TEST_CASE("every kind of step, a dense one too, records importance: the formula's, of the whole batch") {
    data::Batch batch = random_batch(small_config(0), 12, 24, 5);
    batch.masked_labels[0] = kSpecial.unk;                                           // of weight 1: it must not move
    batch.masked_labels[5] = batch.masked_labels[6] = batch.masked_labels[10] = 77;  // in both micro-batches,
    batch.masked_labels[35] = 77;                                                    // more than once
    const Parameters parameters(small_config(0.1f, 4), {mlm_head()});
    for (const double beta : {0.995, 0.5}) {
        CAPTURE(beta);
        const StepOptions options =
            dropping_options_for(parameters.config(), batch, 6, 12, DType::f32, {.importance_beta = beta});
        for (const StepKind kind : kKinds) {
            CAPTURE(static_cast<uint32_t>(kind));
            ReadyStep step(parameters, options);
            check_update(step, batch, kind, beta);
        }
    }
}

TEST_CASE("a gradient that is not finite leaves the importance table as it was") {
    const data::Batch batch = random_batch(small_config(0), 4, 24, 5);
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    ReadyStep step(parameters, dropping_options_for(parameters.config(), batch, 4, 12));
    const std::vector<float> before(importance_of(step).begin(), importance_of(step).end());
    step.backward(batch, 1, kDroppingStep);
    step.gradients()[parameters.tensors().front().offset] = std::numeric_limits<float>::quiet_NaN();
    CHECK(!std::isfinite(step.update(1, 1e-3)));
    CHECK(std::ranges::equal(importance_of(step), before));
}

TEST_CASE("random routing: other tokens at every step, the same at the same step; special ones always stay") {
    const data::Batch batch = random_batch(small_config(0), 8, 24, 5);
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    ReadyStep step(parameters,
                   dropping_options_for(parameters.config(), batch, 4, 12, DType::f32, {.routing = "random"}));
    std::ranges::fill(importance_of(step), 0.0f);
    for (const kernels::FixedValue& f : fixed_values(kSpecial))
        importance_of(step)[static_cast<size_t>(f.id)] = f.value;
    std::set<std::vector<int32_t>> seen;
    std::vector<int> kept(24);
    for (int64_t i = 1; i <= 10; ++i) {
        step.backward(batch, i, kDroppingStep);
        for (int64_t s = 0; s < batch.sequences; ++s) {
            const std::vector<int32_t> positions = kept_of(step, s);
            seen.insert(positions);
            for (const int32_t p : positions) ++kept[static_cast<size_t>(p)];
            for (int64_t p = 0; p < batch.length; ++p) {
                const int32_t id = batch.input_ids[static_cast<size_t>(s * batch.length + p)];
                if (id >= kSpecial.unk && id <= kSpecial.mask)
                    CHECK(std::ranges::binary_search(positions, static_cast<int32_t>(p)));
            }
        }
    }
    CHECK(seen.size() == 80);  // of 10 steps x 8 sequences, out of a million choices
    CHECK(kept[0] == 80);      // [CLS]
    // About half of 80 draws each: 5 standard deviations of a binomial distribution are 22.
    for (size_t p = 1; p < kept.size(); ++p) CHECK(std::abs(kept[p] - 40) < 23);
    step.backward(batch, 3, kDroppingStep);
    const std::vector<int32_t> third = step.output<int32_t>(names::kKeptPositions);
    step.backward(batch, 4, kDroppingStep);
    CHECK(step.output<int32_t>(names::kKeptPositions) != third);
    step.backward(batch, 3, kDroppingStep);
    CHECK(step.output<int32_t>(names::kKeptPositions) == third);
}

TEST_CASE("a routing that there is not is refused by name") {
    for (const char* name : routing_names()) CHECK(make_routing(name) != nullptr);
    CHECK_THROWS_WITH_AS(make_routing("best"), "there is no routing \"best\"; there are importance, random, frequency",
                         Error);
}

TEST_CASE("frequency routing: rarer ids stay, and the table does not learn") {
    const data::Batch batch = random_batch(small_config(0), 8, 24, 5);
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    ReadyStep step(parameters,
                   dropping_options_for(parameters.config(), batch, 4, 12, DType::f32, {.routing = "frequency"}));
    std::vector<int64_t> counts;
    PhiloxStream random(2, 0);
    for (size_t id = 0; id < importance_of(step).size(); ++id) counts.push_back(random.below(1000));
    const std::vector<float> table =
        step.programs().options.method->initial_state(names::kImportance, [&] { return counts; });
    std::ranges::copy(table, importance_of(step).begin());
    const std::vector<float> before(importance_of(step).begin(), importance_of(step).end());
    step.backward(batch, 1, kDroppingStep);
    for (int64_t s = 0; s < batch.sequences; ++s) {
        int64_t rarest_dropped = 1000, most_frequent_kept = 0;
        const std::vector<int32_t> positions = kept_of(step, s);
        for (int64_t p = 0; p < batch.length; ++p) {
            const int32_t id = batch.input_ids[static_cast<size_t>(s * batch.length + p)];
            if (id <= kSpecial.mask) continue;
            const int64_t count = counts[static_cast<size_t>(id)];
            if (std::ranges::binary_search(positions, static_cast<int32_t>(p)))
                most_frequent_kept = std::max(most_frequent_kept, count);
            else
                rarest_dropped = std::min(rarest_dropped, count);
        }
        CHECK(most_frequent_kept <= rarest_dropped);
    }
    step.update(1, 1e-3);
    CHECK(std::ranges::equal(importance_of(step), before));
}

TEST_CASE("no step of any kind allocates after the first of its kind") {
    const data::Batch batch = random_batch(small_config(0), 32, 24, 5);
    const Parameters parameters(small_config(0.1f, 4), {mlm_head()});
    for (const DType dtype : {DType::f32, DType::bf16}) {
        CAPTURE(std::string(name_of(dtype)));
        ReadyStep step(parameters, dropping_options_for(parameters.config(), batch, 16, 12, dtype));
        int64_t i = 0, before = 0;
        for (int round = 0; round < 3; ++round) {
            for (const StepKind kind : kKinds) {
                step.backward(batch, ++i, kind);
                step.update(i, 1e-4);
            }
            if (round == 0) before = allocations();
        }
        if (kCountsAllocations) CHECK(allocations() - before == 0);
    }
}

TEST_CASE("training with dropped tokens lowers the loss of the whole model on a batch it sees again") {
    const data::Batch batch = random_batch(small_config(0), 8, 24, 5);
    const Parameters parameters(small_config(0, 4), {mlm_head()});
    ReadyStep step(parameters, dropping_options_for(parameters.config(), batch, 8, 12));
    const double first = step.backward(batch, 1).loss;
    for (int64_t i = 1; i <= 60; ++i) {
        step.backward(batch, i, kDroppingStep);
        step.update(i, 3e-3);
    }
    CHECK(step.backward(batch, 61).loss < 0.7 * first);
}

}  // namespace
}  // namespace dropforge
