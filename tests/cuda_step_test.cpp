// Whole training steps on the CUDA backend beside the CPU's: every kind of step, both precisions, twenty updates with
// dropout. Once queued ahead of the host, as training does it; from the second run on the steps are recordings.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/backend.h"
#include "tests/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

constexpr int64_t kSteps = 20;

/// Dropout of cuDNN's attention draws other bits than the CPU's; our own kernels draw the same.
[[maybe_unused]] const int own_attention = setenv("DROPFORGE_ATTENTION", "own", 1);

/// What a training of kSteps steps on one batch leaves.
struct Training {
    std::vector<double> losses, norms;
    std::vector<float> gradients;  // of the first step
    std::vector<float> values, importance;
};

class Trainings {
  public:
    Trainings(StepKind kind, float dropout)
        : kind_(kind),
          parameters_(small_config(dropout, 4), {.mlm = true, .pooler = true, .next_sentence = true}),
          batch_(
              random_batch(parameters_.config(), 6, 24, 5, {.lengths = true, .types = true, .next_sentence = true})) {}

    Training run(const kernels::KernelTable& table, DType dtype, const data::Batch& batch,
                 int64_t micro_batch = 3) const {
        TrainingStep step(parameters_, StepPrograms(parameters_, dropping_options_for(batch, micro_batch, 12, dtype)),
                          table);
        parameters_.initialize(step.values(), 1);
        fill_importance(step.importance(), 1);
        step.store_states();
        Training t;
        step.backward(batch, 1, kind_, 0.05);
        step.fetch_states();
        t.gradients.assign(step.gradients(), step.gradients() + parameters_.size());
        const auto collect = [&] {
            const StepOutcome o = step.collect();
            t.losses.push_back(o.result.loss);
            t.norms.push_back(o.gradient_norm);
        };
        for (int64_t i = 1; i <= kSteps; ++i) {
            step.queue(batch, {.step = i, .kind = kind_, .lambda = 0.05, .learning_rate = 1e-3});
            if (!step.may_queue()) collect();
        }
        while (step.queued() > 0) collect();
        step.fetch_states();
        t.values.assign(step.values(), step.values() + parameters_.size());
        t.importance.assign(step.importance().begin(), step.importance().end());
        return t;
    }

    const Parameters& parameters() const { return parameters_; }
    const data::Batch& batch() const { return batch_; }

  private:
    StepKind kind_;
    Parameters parameters_;
    data::Batch batch_;
};

/// Largest ‖a − b‖ / ‖b‖ over the tensors, but for those whose gradient is rounding alone.
double largest_difference(const Parameters& parameters, const std::vector<float>& a, const std::vector<float>& b) {
    double largest = 0;
    for (const HfTensor& t : parameters.tensors()) {
        if (t.name.ends_with("key.bias")) continue;
        const double d = difference(t, a, b);
        if (!(d <= largest)) largest = d;  // NaN too
    }
    return largest;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i)
        if (const double d = std::abs(a[i] / b[i] - 1); !(d <= largest)) largest = d;
    return largest;
}

/// ‖a − b‖ / ‖b‖ over all weights: an update turns the rounding of a gradient near 0 into one of its full size, so that
/// single small tensors say little.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
    double d = 0, n = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        d += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
        n += double{b[i]} * b[i];
    }
    return std::sqrt(d / n);
}

/// What rounding does to a run: others of the same sums, and what they should be.
struct Yardstick {
    std::vector<Training> runs;
    const Training& truth;
};

/// Each figure's error against the truth is at most `factor` times the largest that the yardstick shows.
void check(const Trainings& t, const Training& got, const Training& truth, const Yardstick& yardstick, double factor) {
    const auto compare = [&](const char* what, const auto& difference) {
        double shown = 0;
        for (const Training& run : yardstick.runs) shown = std::max(shown, difference(run, yardstick.truth));
        const double error = difference(got, truth);
        const bool right = error <= factor * shown;
        CHECK_MESSAGE(right, std::string(what), ": ", error, " > ", factor, " x ", shown);
    };
    REQUIRE(got.losses.size() == static_cast<size_t>(kSteps));
    compare("losses", [](const Training& a, const Training& b) { return largest_difference(a.losses, b.losses); });
    compare("norms", [](const Training& a, const Training& b) { return largest_difference(a.norms, b.norms); });
    compare("gradients", [&](const Training& a, const Training& b) {
        return largest_difference(t.parameters(), a.gradients, b.gradients);
    });
    compare("weights", [](const Training& a, const Training& b) { return difference(a.values, b.values); });
    CHECK(got.losses.back() < got.losses.front());
}

constexpr StepKind kKinds[] = {StepKind::dense, StepKind::dropping, StepKind::align};

TEST_CASE("twenty f32 steps differ from the CPU's by rounding alone") {
    for (const StepKind kind : kKinds) {
        CAPTURE(std::string(name_of(kind)));
        // The same sums in another order: what rounding does to a run without dropout.
        const Trainings plain(kind, 0), dropped(kind, 0.1f);
        const Training truth = plain.run(kernels::cpu(), DType::f32, plain.batch());
        const Yardstick rounding{{plain.run(kernels::cpu(), DType::f32, reversed(plain.batch())),
                                  plain.run(kernels::cpu(), DType::f32, plain.batch(), 6),
                                  plain.run(kernels::cpu(), DType::f32, plain.batch(), 1)},
                                 truth};
        check(plain, plain.run(kernels::cuda(), DType::f32, plain.batch()), truth, rounding, 8);
        check(dropped, dropped.run(kernels::cuda(), DType::f32, dropped.batch()),
              dropped.run(kernels::cpu(), DType::f32, dropped.batch()), rounding, 8);
    }
}

TEST_CASE("twenty bf16 steps are as near to f32 as the CPU's are") {
    for (const StepKind kind : kKinds) {
        CAPTURE(std::string(name_of(kind)));
        const Trainings t(kind, 0.1f);
        const Training truth = t.run(kernels::cpu(), DType::f32, t.batch());
        check(t, t.run(kernels::cuda(), DType::bf16, t.batch()), truth,
              {{t.run(kernels::cpu(), DType::bf16, t.batch())}, truth}, 2);
    }
}

TEST_CASE("the same steps twice give the same bits") {
    const Trainings t(StepKind::align, 0.1f);
    const Training first = t.run(kernels::cuda(), DType::bf16, t.batch()),
                   second = t.run(kernels::cuda(), DType::bf16, t.batch());
    CHECK(first.losses == second.losses);
    CHECK(first.values == second.values);
    CHECK(first.importance == second.importance);
}

}  // namespace
}  // namespace dropforge
