// What a precision means on a device, and what is refused in one line.
#include <doctest/doctest.h>

#include "base/error.h"
#include "kernels/reference/loops.h"
#include "model/run/plan.h"
#include "tests/support/step_fixture.h"

namespace dropforge {
namespace {

using namespace test;

Device device(const std::string& kind, int compute_capability = 0, bool bf16 = true) {
    Device d;
    d.kind = kind;
    d.bf16 = bf16;
    d.compute_capability = compute_capability;
    return d;
}

const Device kHopper = device("cuda", 90), kTuring = device("cuda", 75, false), kCpu = device("cpu"),
             kOldCpu = device("cpu", 0, false);

TEST_CASE("auto is bf16 where the device computes it, fp16 on a GPU without, f32 on a CPU without") {
    const auto automatic = [](const Device& d) { return resolve_precision(Precision::automatic, d); };
    CHECK(automatic(kHopper).dtype == DType::bf16);
    CHECK(automatic(kHopper).reason == "bf16: this GPU computes it");
    CHECK(automatic(kTuring).dtype == DType::fp16);
    CHECK(automatic(kTuring).reason == "fp16 with a loss scale: compute capability 7.5 has no bf16");
    CHECK(automatic(kCpu).dtype == DType::bf16);
    CHECK(automatic(kOldCpu).dtype == DType::f32);
    CHECK(automatic(kOldCpu).reason == "f32: this CPU has no fast bf16 GEMM instructions");
}

TEST_CASE("what is asked for is taken, or refused where a device does not compute it") {
    for (const Device& gpu : {kHopper, kTuring}) {
        CHECK(resolve_precision(Precision::fp16, gpu).dtype == DType::fp16);
        CHECK(resolve_precision(Precision::fp16, gpu).reason == "fp16 with a loss scale, as asked for");
    }
    for (const Device& d : {kHopper, kTuring, kCpu, kOldCpu})
        CHECK(resolve_precision(Precision::f32, d).dtype == DType::f32);
    CHECK(resolve_precision(Precision::bf16, kHopper).dtype == DType::bf16);
    CHECK(resolve_precision(Precision::bf16, kOldCpu).reason ==
          "bf16, as asked for; this CPU has no fast bf16 GEMM instructions, f32 is faster");
    CHECK_THROWS_WITH_AS(resolve_precision(Precision::fp16, kCpu),
                         "fp16 is for CUDA devices: the CPU computes in bf16 or f32", Error);
    CHECK_THROWS_WITH_AS(resolve_precision(Precision::bf16, kTuring),
                         "bf16 needs compute capability 8.0, this GPU has 7.5: it computes in fp16 or f32", Error);
}

TEST_CASE("a run that goes on: what it began with, not what was asked for; a note where auto would be something else") {
    CHECK(resolve_precision(Precision::f32, kHopper, true).reason == "f32, as the run began");
    CHECK(resolve_precision(Precision::bf16, kOldCpu, true).reason ==
          "bf16, as the run began; this CPU has no fast bf16 GEMM instructions, f32 is faster");
    CHECK(resolve_precision(Precision::fp16, kTuring, true).reason == "fp16 with a loss scale, as the run began");
    CHECK_THROWS_WITH_AS(resolve_precision(Precision::bf16, kTuring, true), doctest::Contains("bf16 needs"), Error);

    const auto resumed = [](const RunPlan& began, const Device& on) {
        RunConfig config = RunConfig::load("bert-tiny");
        config.model.vocabulary = 100;
        config.model.special = {0, 1, 2, 3, 4};
        config.go_on_from(began.config, "runs/1");
        return RunPlan(config, on);
    };
    RunConfig config = RunConfig::load("bert-tiny");
    config.model.vocabulary = 100;
    config.model.special = {0, 1, 2, 3, 4};
    const RunPlan began(config, kCpu);
    CHECK(began.config.train.precision == Precision::bf16);
    CHECK(began.precision_note() == "");
    CHECK(resumed(began, kCpu).precision_note() == "");
    CHECK(resumed(began, kCpu).precision.reason == "bf16, as the run began");
    const RunPlan elsewhere = resumed(began, kOldCpu);
    CHECK(elsewhere.precision.dtype == DType::bf16);
    CHECK(elsewhere.config.difference(began.config) == "");
    CHECK(elsewhere.precision_note() ==
          "the run goes on in bf16, as it began; auto would be f32: this CPU has no fast bf16 GEMM instructions");
    CHECK(resumed(RunPlan(config, kOldCpu), kHopper).precision_note() ==
          "the run goes on in f32, as it began; auto would be bf16: this GPU computes it");
}

TEST_CASE("the CPU's kernels refuse fp16 themselves") {
    const Parameters parameters(small_config(0), {mlm_head()});
    const data::Batch batch = random_batch(parameters.config(), 4, 24, 5);
    ReadyStep f32(parameters, options_for(batch, 4));
    CHECK(f32.states().loss_scale() == nullptr);
    TrainingStep step(parameters, StepPrograms(parameters, options_for(batch, 4, DType::fp16)), kernels::cpu());
    CHECK_THROWS_WITH_AS(step.backward(batch, 1), doctest::Contains("fp16 is for CUDA devices"), Error);
    CHECK_THROWS_WITH_AS(step.update(1, 1e-3), doctest::Contains("fp16 is for CUDA devices"), Error);
}

TEST_CASE("a step of the reference in fp16: an overflow halves the scale, the next update is the first") {
    const Parameters parameters(small_config(0), {mlm_head()});
    const data::Batch batch = random_batch(parameters.config(), 4, 24, 5);
    TrainingStep step(parameters, StepPrograms(parameters, options_for(batch, 2, DType::fp16)), kernels::reference());
    parameters.initialize(step.values(), 1);
    step.store_states();
    CHECK(step.states().loss_scale()->scale == 65536);
    step.states().loss_scale()->scale = 0x1p100f;
    step.backward(batch, 1);
    CHECK(!std::isfinite(step.update(1, 1e-3)));
    CHECK(step.states().loss_scale()->scale == 0x1p99f);
    *step.states().loss_scale() = {.scale = 256};
    step.backward(batch, 2);
    const double norm = step.update(2, 1e-3);
    CHECK((step.states().loss_scale()->scale == 256 && step.states().loss_scale()->updates == 1));
    // The first AdamW update moves every parameter by the learning rate, whatever its gradient: so 1 was counted.
    double largest = 0;
    TrainingStep f32(parameters, StepPrograms(parameters, options_for(batch, 2)), kernels::reference());
    parameters.initialize(f32.values(), 1);
    f32.store_states();
    for (int64_t i = 0; i < parameters.size(); ++i)
        largest = std::max(largest, std::abs(double{step.values()[i]} - double{f32.values()[i]}));
    CHECK(largest > 0.99e-3);
    CHECK(largest < 1.01e-3);
    f32.backward(batch, 1);
    CHECK(f32.update(1, 1e-3) == doctest::Approx(norm).epsilon(0x1p-8));  // without the scale
}

}  // namespace
}  // namespace dropforge
