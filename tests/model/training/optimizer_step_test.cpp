// The builder of the optimizer's update refuses tensors and segments that do not fit.
#include "model/training/optimizer_step.h"

#include <doctest/doctest.h>

#include <string>

#include "tests/support/message_of.h"

using namespace dropforge;
using namespace dropforge::test;

TEST_CASE("the update refuses tensors that do not fit") {
    Program p("step");
    const auto floats = [&](const std::string& name, int64_t n) { return p.bound(name, DType::f32, {n}); };
    const Tensor arena = floats("arena", 64), other = floats("other", 60), one = floats("one", 1),
                 scalars = floats("scalars", 9), state = floats("state", 3);
    const ops::Update right{.parameters = arena,
                            .gradients = arena,
                            .moment1 = arena,
                            .moment2 = arena,
                            .copy = {},
                            .norm = one,
                            .scalars = scalars};
    const auto refused = [&](const std::string& message, const auto& change, const kernels::Segment& segment) {
        ops::Update u = right;
        change(u);
        CHECK(message_of([&] { ops::update(p, ops::Optimizer::adamw, u, {&segment, 1}); }) == "update: " + message);
        CHECK(p.ops().empty());
    };
    const kernels::Segment all{0, 64, true}, beyond{60, 5, true};
    refused(
        "gradients must be f32 [64], not f32 [60]", [&](ops::Update& u) { u.gradients = other; }, all);
    refused(
        "no moment2 was given", [](ops::Update& u) { u.moment2 = {}; }, all);
    refused(
        "copy must be bf16 or fp16, not f32", [&](ops::Update& u) { u.copy = arena; }, all);
    refused(
        "norm must be f32 [1], not f32 [3]", [&](ops::Update& u) { u.norm = state; }, all);
    refused(
        "scalars must be f32 [9], not f32 [1]", [&](ops::Update& u) { u.scalars = one; }, all);
    refused(
        "loss_scale must be f32 [3], not f32 [9]", [&](ops::Update& u) { u.loss_scale = scalars; }, all);
    refused(
        "no scaled_scalars was given", [&](ops::Update& u) { u.loss_scale = state; }, all);
    refused(
        "a segment from 60 on has 5 of 64 parameters", [](ops::Update&) {}, beyond);
}
