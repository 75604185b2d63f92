// Whole training steps on the CUDA backend: every kind of step, both precisions, twenty updates with dropout, queued
// ahead of the host as training does it; from the second run on the steps are recordings.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/reference/loops.h"
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

    Training run(const kernels::KernelTable& table, DType dtype) const {
        TrainingStep step(parameters_, StepPrograms(parameters_, dropping_options_for(batch_, 3, 12, dtype)), table);
        parameters_.initialize(step.values(), 1);
        fill_importance(step.importance(), 1);
        step.store_states();
        Training t;
        step.backward(batch_, 1, kind_, 0.05);
        step.fetch_states();
        t.gradients.assign(step.gradients(), step.gradients() + parameters_.size());
        const auto collect = [&] {
            const StepOutcome o = step.collect();
            t.losses.push_back(o.result.loss);
            t.norms.push_back(o.gradient_norm);
        };
        for (int64_t i = 1; i <= kSteps; ++i) {
            step.queue(batch_, {.step = i, .kind = kind_, .lambda = 0.05, .learning_rate = 1e-3});
            if (!step.may_queue()) collect();
        }
        while (step.queued() > 0) collect();
        step.fetch_states();
        t.values.assign(step.values(), step.values() + parameters_.size());
        t.importance.assign(step.importance().begin(), step.importance().end());
        return t;
    }

  private:
    StepKind kind_;
    Parameters parameters_;
    data::Batch batch_;
};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i)
        if (const double d = std::abs(a[i] / b[i] - 1); !(d <= largest)) largest = d;
    return largest;
}

/// ‖a − b‖ / ‖b‖.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
    double d = 0, n = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        d += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
        n += double{b[i]} * b[i];
    }
    return std::sqrt(d / n);
}

/// The rule of kernel_testing.h for whole runs: errors against the double reference beside those of a straightforward
/// implementation. 8: an update turns the rounding of a gradient near 0 into one of its own size, and twenty of them
/// add up in another direction in every implementation.
void check(const Training& got, const Training& truth, const Training& straightforward) {
    const auto compare = [&](const char* what, const auto& error_of) {
        const double error = error_of(got, truth), shown = error_of(straightforward, truth);
        const bool right = error <= 8 * shown;
        CHECK_MESSAGE(right, std::string(what), ": ", error, " > 8 x ", shown);
    };
    REQUIRE(got.losses.size() == static_cast<size_t>(kSteps));
    compare("losses", [](const Training& a, const Training& b) { return largest_difference(a.losses, b.losses); });
    compare("norms", [](const Training& a, const Training& b) { return largest_difference(a.norms, b.norms); });
    compare("gradients", [](const Training& a, const Training& b) { return difference(a.gradients, b.gradients); });
    compare("weights", [](const Training& a, const Training& b) { return difference(a.values, b.values); });
    CHECK(got.losses.back() < got.losses.front());
}

constexpr StepKind kKinds[] = {StepKind::dense, StepKind::dropping, StepKind::align};

TEST_CASE("twenty f32 steps differ from the reference by rounding alone") {
    for (const StepKind kind : kKinds) {
        CAPTURE(std::string(name_of(kind)));
        const Trainings t(kind, 0.1f);
        const Training truth = t.run(kernels::reference(), DType::f32);
        check(t.run(kernels::cuda(), DType::f32), truth, t.run(kernels::straightforward(), DType::f32));
    }
}

TEST_CASE("twenty bf16 steps are as near to f32 as those of a straightforward implementation") {
    for (const StepKind kind : kKinds) {
        CAPTURE(std::string(name_of(kind)));
        const Trainings t(kind, 0.1f);
        check(t.run(kernels::cuda(), DType::bf16), t.run(kernels::reference(), DType::f32),
              t.run(kernels::straightforward(), DType::bf16));
    }
}

TEST_CASE("the same steps twice give the same bits") {
    const Trainings t(StepKind::align, 0.1f);
    const Training first = t.run(kernels::cuda(), DType::bf16), second = t.run(kernels::cuda(), DType::bf16);
    CHECK(first.losses == second.losses);
    CHECK(first.values == second.values);
    CHECK(first.importance == second.importance);
}

}  // namespace
}  // namespace dropforge
