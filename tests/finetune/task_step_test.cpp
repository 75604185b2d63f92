// A step of a task: the same result however its batch is cut and padded and on any number of threads, what it leaves as
// it is, and batches from which nothing can be learned.
// label: levels
#include "finetune/task_step.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/support/count_allocations.h"
#include "tests/support/made_up_task.h"

namespace dropforge {
namespace {

using namespace test;

struct Passed {
    double loss;
    std::vector<float> gradients;
};

/// One backward pass; of the items in reverse order, if `reversed`, which rounds f32 sums in another way.
Passed pass(const Parameters& parameters, const MadeUpTask& task, const TaskStepOptions& options,
            bool reversed = false) {
    ReadyTaskStep step(parameters, task, options);
    if (reversed) std::ranges::reverse(step.items);
    const double loss = step.backward(5);
    return {loss, step.gradients()};
}

/// The losses of ≤ 7 items are sums of at most 24 positive terms, in two orders: each sum is off by at most 24
/// roundings of 2^-24, 48 together; the terms' own logarithms and weights have the other 16.
void check_same_loss(double got, double want) { CHECK(got == doctest::Approx(want).epsilon(64 * 0x1p-24)); }

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Calls `check` for every tensor with whether `after` has the values of `before`.
template <typename Check>
void for_each_tensor(const Parameters& parameters, const std::vector<float>& before, const std::vector<float>& after,
                     const Check& check) {
    for (const HfTensor& t : parameters.tensors()) {
        CAPTURE(t.name);
        check(t, std::equal(before.begin() + t.offset, before.begin() + t.offset + t.shape.size(),
                            after.begin() + t.offset));
    }
}

TEST_CASE(
    "micro-batches of 1, 3 and all items, with and without dropout: the same loss and gradients to f32 rounding") {
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name), task_dropped(name, 0.1f);
        const Parameters plain(small_config(0), {task.head}), dropped(small_config(0.1f), {task_dropped.head});
        const Passed full = pass(plain, task, task.step_options(plain, 7)),
                     rounded = pass(plain, task, task.step_options(plain, 7), true),
                     full_dropped = pass(dropped, task_dropped, task.step_options(dropped, 7));
        CHECK(full.loss != full_dropped.loss);
        for (const int64_t micro_batch : {1, 3}) {
            CAPTURE(micro_batch);
            const Passed parts = pass(plain, task, task.step_options(plain, micro_batch)),
                         parts_dropped = pass(dropped, task_dropped, task.step_options(dropped, micro_batch));
            check_same_loss(parts.loss, full.loss);
            check_same_loss(parts_dropped.loss, full_dropped.loss);
            check_same(plain, parts.gradients, full.gradients, {rounded.gradients, full.gradients}, 64);
            check_same(dropped, parts_dropped.gradients, full_dropped.gradients, {rounded.gradients, full.gradients},
                       64);
        }
    }
}

TEST_CASE("a batch padded to the next bucket gives the same loss and gradients to f32 rounding") {
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name);
        const Parameters parameters(small_config(0), {task.head});
        const Passed expected = pass(parameters, task, task.step_options(parameters, 3)),
                     rounded = pass(parameters, task, task.step_options(parameters, 3), true);
        TaskStepOptions options = task.step_options(parameters, 3);
        options.lengths = {24, 40};
        ReadyTaskStep step(parameters, task, options);
        for (const int64_t length : {40, 24}) {  // one after the other, in the same memory
            step.length = length;
            check_same_loss(step.backward(5), expected.loss);
            check_same(parameters, step.gradients(), expected.gradients, {rounded.gradients, expected.gradients}, 64);
        }
    }
}

TEST_CASE("the last batch of an epoch, with fewer items than a step has: a step made for it gives the same") {
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name), first(name, 0, 4);  // the same items, as far as they go
        const Parameters parameters(small_config(0), {task.head});
        const Passed expected = pass(parameters, first, first.step_options(parameters, 4)),
                     rounded = pass(parameters, first, first.step_options(parameters, 4), true);
        ReadyTaskStep step(parameters, task, task.step_options(parameters, 3));
        step.backward(4);
        step.items.resize(4);
        check_same_loss(step.backward(5), expected.loss);
        check_same(parameters, step.gradients(), expected.gradients, {rounded.gradients, expected.gradients}, 64);
    }
}

TEST_CASE("any number of threads gives the same bits") {
    const int threads = omp_get_max_threads();
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name, 0.1f);
        const Parameters parameters(small_config(0.1f), {task.head});
        for (const DType dtype : {DType::f32, DType::bf16}) {
            CAPTURE(std::string(name_of(dtype)));
            TaskStepOptions options = task.step_options(parameters, 3);
            options.dtype = dtype;
            std::vector<std::vector<float>> values;
            for (const int n : {1, 2, 3}) {
                omp_set_num_threads(n);
                ReadyTaskStep step(parameters, task, options);
                for (int64_t i = 1; i <= 2; ++i) step.take(i, 1e-3);
                values.push_back(step.values());
            }
            CHECK(same_bits(values[1], values[0]));
            CHECK(same_bits(values[2], values[0]));
        }
    }
    omp_set_num_threads(threads);
}

TEST_CASE("frozen layers, and the embeddings with them, stay as they are; all else moves") {
    const MadeUpTask task("single");
    const Parameters parameters(small_config(0), {task.head});
    for (const int64_t frozen : {0, 1, 2}) {
        CAPTURE(frozen);
        TaskStepOptions options = task.step_options(parameters, 7);
        options.segments = trained_segments(parameters, frozen, 1);
        ReadyTaskStep step(parameters, task, options);
        const std::vector<float> before = step.values();
        step.take(1, 1e-3);
        for_each_tensor(parameters, before, step.values(), [&](const HfTensor& t, bool same) {
            const bool still =
                frozen > 0 && (t.name.starts_with("bert.embeddings.") || t.name.starts_with("bert.encoder.layer.0.") ||
                               (frozen > 1 && t.name.starts_with("bert.encoder.layer.1.")));
            CHECK(same == still);
        });
    }
}

TEST_CASE("frozen layers have no backward pass: what is trained has the bits that it has with one") {
    const MadeUpTask task("token", 0.1f);
    const Parameters parameters(small_config(0.1f), {task.head});
    for (const int64_t frozen : {1, 2})
        for (const int64_t micro_batch : {3, 7}) {
            CAPTURE(frozen);
            CAPTURE(micro_batch);
            TaskStepOptions options = task.step_options(parameters, micro_batch);
            options.segments = trained_segments(parameters, frozen, 1);
            ReadyTaskStep with_backward(parameters, task, options);
            options.frozen = frozen;
            ReadyTaskStep without(parameters, task, options);
            for (int64_t i = 1; i <= 3; ++i) {
                with_backward.take(i, 1e-3);
                without.take(i, 1e-3);
            }
            CHECK(with_backward.values() == without.values());
            CHECK(TaskStep::arena_bytes(parameters, task.head, options) <
                  TaskStep::arena_bytes(parameters, task.head, task.step_options(parameters, micro_batch)));
        }
}

TEST_CASE("layer_decay: a layer moves by its share of the rate") {
    constexpr double kDecay = 0.5;
    const MadeUpTask task("single");
    const Parameters parameters(small_config(0), {task.head});
    const auto moved = [&](double decay) {
        TaskStepOptions options = task.step_options(parameters, 7);
        options.segments = trained_segments(parameters, 0, decay);
        ReadyTaskStep step(parameters, task, options);
        step.take(1, 1e-3);
        return step.values();
    };
    const std::vector<float> full = moved(1), decayed = moved(kDecay),
                             before = ReadyTaskStep(parameters, task, task.step_options(parameters, 7)).values();
    for (const HfTensor& t : parameters.tensors()) {
        CAPTURE(t.name);
        const double rate = t.head != nullptr                             ? 1
                            : t.name.starts_with("bert.encoder.layer.1.") ? 1
                            : t.name.starts_with("bert.encoder.layer.0.") ? kDecay
                                                                          : kDecay * kDecay;
        bool right = true;
        for (auto i = static_cast<size_t>(t.offset); i < static_cast<size_t>(t.offset + t.shape.size()); ++i) {
            const double expected = rate * (double{full[i]} - before[i]), got = double{decayed[i]} - before[i];
            // Each new weight is rounded to f32, as are the few operations that make its change.
            right &= std::abs(got - expected) <= 0x1p-23 * std::abs(double{before[i]}) + 0x1p-20 * std::abs(expected);
        }
        CHECK(right);
    }
}

TEST_CASE("a batch in which nothing has a label: loss 0, and of the update the weight decay alone") {
    const MadeUpTask task("token", 0, 1);
    REQUIRE(task.data.items.items[0].words.empty());
    const Parameters parameters(small_config(0), {task.head});
    TaskStepOptions options = task.step_options(parameters, 1);
    options.optimizer.weight_decay = 0.125f;
    ReadyTaskStep step(parameters, task, options);
    const std::vector<float> before = step.values();
    const StepOutcome outcome = step.take(1, 0x1p-7);
    CHECK(outcome.result.loss == 0);
    CHECK(outcome.gradient_norm == 0);
    const std::vector<float> after = step.values();
    for_each_tensor(parameters, before, after, [&](const HfTensor& t, bool same) {
        bool right = true;
        for (auto i = static_cast<size_t>(t.offset); i < static_cast<size_t>(t.offset + t.shape.size()); ++i)
            right &= std::abs(after[i] - before[i] * (1 - 0x1p-10)) <= 0x1p-24 * std::abs(before[i]);
        CHECK((t.decay ? right : same));
    });
}

TEST_CASE("a loss that is not finite changes nothing") {
    for (const char* name : kMadeUpTasks) {
        CAPTURE(std::string(name));
        const MadeUpTask task(name);
        const Parameters parameters(small_config(0), {task.head});
        ReadyTaskStep step(parameters, task, task.step_options(parameters, 3));
        step.states().values()[parameters.tensors().back().offset] = std::numeric_limits<float>::quiet_NaN();
        step.store_states();
        const std::vector<float> before = step.values();
        const StepOutcome outcome = step.take(1, 1e-3);
        CHECK(std::isnan(outcome.result.loss));
        CHECK(!std::isfinite(outcome.gradient_norm));
        CHECK(same_bits(step.values(), before));
    }
}

TEST_CASE("a step allocates nothing after the first") {
    for (const char* name : kMadeUpTasks) {
        for (const DType dtype : {DType::f32, DType::bf16}) {
            CAPTURE(std::string(name));
            CAPTURE(std::string(name_of(dtype)));
            const MadeUpTask task(name, 0.1f);
            const Parameters parameters(small_config(0.1f), {task.head});
            TaskStepOptions options = task.step_options(parameters, 3);
            options.dtype = dtype;
            ReadyTaskStep step(parameters, task, options);
            step.take(1, 1e-4);
            const int64_t before = allocations();
            for (int64_t i = 2; i < 5; ++i) step.take(i, 1e-4);
            if (kCountsAllocations) CHECK(allocations() - before == 0);
        }
    }
}

}  // namespace
}  // namespace dropforge
