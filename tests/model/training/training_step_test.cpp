// The training step as a whole: accumulation, determinism, allocation, plans and counted work of every preset.
// label: levels
#include "model/training/training_step.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <cmath>
#include <iterator>

#include "base/error.h"
#include "base/file.h"
#include "model/network/bert.h"
#include "model/network/names.h"
#include "model/training/forward_pass.h"
#include "tests/support/count_allocations.h"
#include "tests/support/step_fixture.h"
#if DROPFORGE_CUDA_TESTED
#include "kernels/cuda/backend.h"
#endif

namespace dropforge {
namespace {

using namespace test;

TEST_CASE("an evaluation has the losses of a step without dropout, of next sentences too") {
    for (const BatchParts& parts : {BatchParts{}, BatchParts{.lengths = true, .types = true, .next_sentence = true}}) {
        CAPTURE(parts.next_sentence);
        const data::Batch batch = random_batch(small_config(0), 6, 24, 5, parts);
        const Parameters parameters(small_config(0), heads_for(batch));
        ReadyStep step(parameters, options_for(batch, 6));
        const StepResult trained = step.backward(batch, 1);
        PlannedProgram program(evaluation(parameters, {.batch = 6,
                                                       .sequence = 24,
                                                       .masked = 5,
                                                       .types = parts.types,
                                                       .lengths = parts.lengths,
                                                       .heads = heads_of(batch)}));
        ForwardPass pass(parameters, std::move(program), step.values(), DType::f32, kernels::cpu());
        pass.run(batch);
        const auto sum = [&](const char* totals) { return static_cast<double>(pass.output<float>(totals)[0]); };
        CHECK(sum(names::kMlmTotals) == doctest::Approx(trained["mlm_loss"]).epsilon(1e-6));
        if (parts.next_sentence) CHECK(sum(names::kNspTotals) == doctest::Approx(trained["nsp_loss"]).epsilon(1e-6));
    }
}

/// Gradients of one backward pass from the same weights.
std::vector<float> gradients(const Parameters& parameters, const data::Batch& batch, int64_t micro_batch) {
    return backward(parameters, options_for(batch, micro_batch), batch).gradients;
}

TEST_CASE("1 x 64, 8 x 8 and 64 x 1 give the same gradients, to f32 rounding, with unequal masked counts and dropout") {
    const Parameters plain(small_config(0), {mlm_head()}), dropped(small_config(0.1f), {mlm_head()});
    const data::Batch batch = random_batch(plain.config(), 64, 24, 5);
    const std::vector<float> full_batch = gradients(plain, batch, 64), rounded = gradients(plain, reversed(batch), 64);
    const std::vector<float> full_batch_dropped = gradients(dropped, batch, 64);
    for (const int64_t micro_batch : {8, 1}) {
        CAPTURE(micro_batch);
        const std::vector<float> parts = gradients(plain, batch, micro_batch),
                                 parts_dropped = gradients(dropped, batch, micro_batch);
        check_same(plain, parts, full_batch, {rounded, full_batch}, 64);
        check_same(plain, parts_dropped, full_batch_dropped, {rounded, full_batch}, 64);
    }
}

TEST_CASE("dropout is drawn anew at every step, and the same step twice gives the same bits") {
    const Parameters parameters(small_config(0.1f), {mlm_head()});
    const data::Batch batch = random_batch(parameters.config(), 8, 24, 5);
    TrainingStep step(parameters, StepPrograms(parameters, options_for(batch, 4)), kernels::cpu());
    parameters.initialize(step.values(), 1);
    const double first = step.backward(batch, 1)["mlm_loss"], second = step.backward(batch, 2)["mlm_loss"];
    CHECK(first != second);
    CHECK(step.backward(batch, 1)["mlm_loss"] == first);
}

TEST_CASE("a step allocates nothing after the first, and all of it runs on one thread pool") {
    const Parameters parameters(small_config(0.1f), {mlm_head()});
    const data::Batch batch =
        random_batch(parameters.config(), 32, 24, 5);  // large enough for the kernels to share out
    for (const DType dtype : {DType::f32, DType::bf16}) {
        CAPTURE(std::string(name_of(dtype)));
        TrainingStep step(parameters, StepPrograms(parameters, options_for(batch, 16, dtype)), kernels::cpu());
        parameters.initialize(step.values(), 1);
        step.store_states();
        step.backward(batch, 1);
        step.update(1, 1e-4);
        const int64_t before = allocations();
        for (int64_t i = 2; i < 5; ++i) {
            step.backward(batch, i);
            step.update(i, 1e-4);
        }
        if (kCountsAllocations) CHECK(allocations() - before == 0);
        const auto threads = std::distance(fs::directory_iterator("/proc/self/task"), fs::directory_iterator());
        if (kCountsAllocations) CHECK(threads <= omp_get_max_threads());  // a sanitizer may have threads of its own
    }
}

TEST_CASE("GELU's outputs, kept or made again: the same gradients, all but a bias's to the bit") {
    const Parameters parameters(small_config(0.1f), {mlm_head()});
    const data::Batch batch = random_batch(parameters.config(), 8, 24, 5);
    std::vector<const kernels::KernelTable*> backends = {&kernels::cpu()};
#if DROPFORGE_CUDA_EMULATED  // on a GPU, a library may take GELU, kept, of what is not rounded yet
    backends.push_back(&kernels::cuda());
#endif
    for (const kernels::KernelTable* backend : backends) {
        for (const DType dtype : {DType::f32, DType::bf16}) {
            CAPTURE(std::string(backend->name));
            CAPTURE(std::string(name_of(dtype)));
            StepOptions options = options_for(batch, 4, dtype);
            const auto gradients = [&] {
                TrainingStep step(parameters, StepPrograms(parameters, options), *backend);
                parameters.initialize(step.values(), 1);
                step.store_states();
                step.backward(batch, 1);
                step.fetch_states();
                return std::vector<float>(step.gradients(), step.gradients() + parameters.size());
            };
            const std::vector<float> again = gradients();
            options.keep_gelu = true;
            const std::vector<float> kept = gradients();
            for (const HfTensor& tensor : parameters.tensors()) {
                CAPTURE(tensor.name);
                double of_difference = 0, of_gradient = 0;
                for (int64_t i = tensor.offset; i < tensor.offset + tensor.shape.size(); ++i) {
                    const double x = again[static_cast<size_t>(i)], d = kept[static_cast<size_t>(i)] - x;
                    of_difference += d * d;
                    of_gradient += x * x;
                }
                // Made again, its sums are of what is not rounded to 16 bits yet; kept, they come with fc1's weight
                // gradient, on a GPU in its order. Of 192 terms like random signs, rounded by half a unit each, the
                // sums differ by half a unit: here by four at most. A row left out would be 2^-4.
                const bool summed = tensor.name.ends_with("intermediate.dense.bias") &&
                                    (backend != &kernels::cpu() || dtype != DType::f32);
                const double unit = !summed ? 0 : dtype == DType::f32 ? 0x1p-23 : 0x1p-8;
                CHECK(std::sqrt(of_difference) <= 4 * unit * std::sqrt(of_gradient));
            }
        }
    }
}

TEST_CASE("GELU's outputs, kept, cost a quarter of the memory") {
    const Parameters base(BertConfig::preset("bert-base"), {mlm_head()});
    StepOptions options{.batch = 32, .micro_batch = 32, .sequence = 128, .masked = 19, .dtype = DType::bf16};
    const auto bytes = [&] { return static_cast<double>(StepPrograms(base, options).arena_bytes()); };
    const double again = bytes();
    options.keep_gelu = true;
    // Kept: 4 h values of 2 bytes a row in all layers; the last has rows for masked positions only. One layer's of them
    // is there in any case, made again.
    const double all = 11.0 * 32 * 128 * 4 * 768 * 2, more = bytes() - again;
    CHECK(more <= all + 32.0 * 19 * 4 * 768 * 2);
    CHECK(more >= all * 10 / 11);
}

TEST_CASE("training lowers the loss on a batch it sees again") {
    const Parameters parameters(small_config(0.1f), {mlm_head()});
    const data::Batch batch = random_batch(parameters.config(), 8, 24, 5);
    for (const ops::Optimizer optimizer : {ops::Optimizer::adamw, ops::Optimizer::lamb}) {
        StepOptions options = options_for(batch, 8);
        options.optimizer.kind = optimizer;
        TrainingStep step(parameters, StepPrograms(parameters, options), kernels::cpu());
        parameters.initialize(step.values(), 1);
        const double first = step.backward(batch, 1).loss;
        double last = first;
        for (int64_t i = 1; i <= 60; ++i) {
            last = step.backward(batch, i).loss;
            step.update(i, optimizer == ops::Optimizer::lamb ? 3e-2 : 3e-3);
        }
        CHECK(last < 0.7 * first);
    }
}

TEST_CASE("every preset's plans are proved, near their lower bound, and its counted FLOPs are the formula's") {
    for (const char* name : {"bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base", "bert-large"}) {
        CAPTURE(name);
        const BertConfig c = BertConfig::preset(name);
        const Parameters parameters(c, {mlm_head()});
        for (const DType dtype : {DType::f32, DType::bf16}) {
            const int64_t b = 8, s = 128, m = 19;
            const StepPrograms p(parameters,
                                 {.batch = 2 * b, .micro_batch = b, .sequence = s, .masked = m, .dtype = dtype});
            CHECK(static_cast<double>(p.arena_bytes()) <= 1.05 * static_cast<double>(p.arena_lower_bound()));
            // docs/algorithms.md, "FLOPs".
            const auto layer = [&](double queries) {
                const auto h = static_cast<double>(c.hidden), keys = static_cast<double>(s);
                return queries * 20 * h * h + keys * 4 * h * h + 4 * queries * keys * h;
            };
            const auto h = static_cast<double>(c.hidden), masked = static_cast<double>(m);
            const double forward = static_cast<double>(c.layers - 1) * layer(static_cast<double>(s)) + layer(masked) +
                                   masked * (2 * h * h + 2 * h * static_cast<double>(c.vocabulary));
            const StepPrograms::Passes& passes = p.of(StepKind::dense);
            CHECK(passes.first.program.flops() == static_cast<double>(b) * 3 * forward);
            CHECK(passes.accumulating->program.flops() == passes.first.program.flops());
            CHECK(p.flops(StepKind::dense) == 2 * passes.first.program.flops());
        }
    }
}

TEST_CASE("batches that the step was not built for are refused") {
    const Parameters parameters(small_config(0), {mlm_head()});
    data::Batch batch = random_batch(parameters.config(), 8, 24, 5);
    CHECK_THROWS_WITH_AS(StepPrograms(parameters, options_for(batch, 3)), doctest::Contains("3 does not divide 8"),
                         Error);
    TrainingStep step(parameters, StepPrograms(parameters, options_for(batch, 8)), kernels::cpu());
    batch.lengths.assign(8, 24);
    CHECK_THROWS_WITH_AS(step.backward(batch, 1), doctest::Contains("lengths"), Error);
    batch.lengths.clear();
    batch.sequences = 4;
    CHECK_THROWS_WITH_AS(step.backward(batch, 1), doctest::Contains("4 x 24 tokens"), Error);
}

}  // namespace
}  // namespace dropforge
