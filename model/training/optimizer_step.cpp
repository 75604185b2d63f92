#include "model/training/optimizer_step.h"

#include <string>

#include "base/error.h"
#include "engine/op_shapes.h"
#include "model/network/names.h"

namespace dropforge {

namespace ops {

namespace {

void check_update(const Update& u, std::span<const kernels::Segment> segments) {
    const std::string name = "update";
    const int64_t n = u.parameters.shape.size();
    check_vector(name, "parameters", u.parameters, DType::f32, n);
    check_vector(name, "gradients", u.gradients, DType::f32, n);
    check_vector(name, "moment1", u.moment1, DType::f32, n);
    check_vector(name, "moment2", u.moment2, DType::f32, n);
    check_optional_vector(name, "copy", u.copy, u.copy.dtype, n);
    require(!u.copy || is_16_bit(u.copy.dtype), "{}: copy must be bf16 or fp16, not {}", name, name_of(u.copy.dtype));
    check_vector(name, "norm", u.norm, DType::f32, 1);
    check_vector(name, "scalars", u.scalars, DType::f32, kFloatsOf<kernels::UpdateScalars>);
    check_optional_loss_scale(name, u.loss_scale);
    if (u.loss_scale)
        check_vector(name, "scaled_scalars", u.scaled_scalars, DType::f32, kFloatsOf<kernels::UpdateScalars>);
    for (const kernels::Segment& s : segments)
        require(s.offset >= 0 && s.offset + s.size <= n, "{}: a segment from {} on has {} of {} parameters", name,
                s.offset, s.size, n);
}

void gradient_norm(Program& program, const Update& u, std::span<const kernels::Segment> segments) {
    const Tensor scratch = program.scratch("norm.scratch", kernels::global_norm_scratch_bytes(segments));
    program.add("gradient_norm", {.reads = {u.gradients}, .writes = {u.norm, scratch}}, [=](const Run& r) {
        r.kernels.global_norm({.gradients = r.at<float>(u.gradients),
                               .segments = segments,
                               .norm = r.at<float>(u.norm),
                               .scratch = r.at(scratch)},
                              r.context);
    });
}

void loss_scale(Program& program, const Update& u) {
    const Access access{.reads = {u.norm, u.scalars, u.loss_scale}, .writes = {u.norm, u.scaled_scalars, u.loss_scale}};
    program.add("loss_scale", access, [=](const Run& r) {
        r.kernels.loss_scale({.norm = r.at<float>(u.norm),
                              .given = r.at<kernels::UpdateScalars>(u.scalars),
                              .scalars = r.at<kernels::UpdateScalars>(u.scaled_scalars),
                              .state = r.at<kernels::LossScale>(u.loss_scale)},
                             r.context);
    });
}

}  // namespace

void update(Program& program, Optimizer optimizer, const Update& u, std::span<const kernels::Segment> segments) {
    check_update(u, segments);
    gradient_norm(program, u, segments);
    if (u.loss_scale) loss_scale(program, u);
    const Tensor scalars = u.loss_scale ? u.scaled_scalars : u.scalars;
    const bool lamb = optimizer == Optimizer::lamb;
    const Tensor scratch = program.scratch("update.scratch", lamb ? kernels::lamb_scratch_bytes(segments) : 0);
    const Access access{.reads = {u.parameters, u.gradients, u.moment1, u.moment2, u.norm, scalars},
                        .writes = {u.parameters, u.moment1, u.moment2, u.copy, scratch}};
    program.add(lamb ? "lamb" : "adamw", access, [=](const Run& r) {
        const kernels::Update arguments{.parameters = r.at<float>(u.parameters),
                                        .gradients = r.at<float>(u.gradients),
                                        .moment1 = r.at<float>(u.moment1),
                                        .moment2 = r.at<float>(u.moment2),
                                        .copy = r.at(u.copy),
                                        .copy_dtype = u.copy.dtype,
                                        .norm = r.at<float>(u.norm),
                                        .scalars = r.at<kernels::UpdateScalars>(scalars),
                                        .segments = segments,
                                        .scratch = r.at(scratch)};
        (lamb ? r.kernels.lamb : r.kernels.adamw)(arguments, r.context);
    });
}

}  // namespace ops

Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments,
                       const std::function<void(Program&, Tensor norm)>& also) {
    Program program("optimizer step");
    const Shape arena{parameters.size()};
    const auto f32 = [&](const char* name, const Shape& shape) { return program.bound(name, DType::f32, shape); };
    const Shape of_scalars{ops::kFloatsOf<kernels::UpdateScalars>};
    ops::Update u{.parameters = f32(names::kParameters, arena),
                  .gradients = f32(names::kGradients, arena),
                  .moment1 = f32(names::kMoment1, arena),
                  .moment2 = f32(names::kMoment2, arena),
                  .copy = is_16_bit(dtype) ? program.bound(names::kCopy, dtype, arena) : Tensor{},
                  .norm = f32(names::kGradientNorm, {1}),
                  .scalars = f32(names::kUpdateScalars, of_scalars)};
    if (dtype == DType::fp16) {
        u.loss_scale = f32(names::kLossScale, {ops::kFloatsOf<kernels::LossScale>});
        u.scaled_scalars = f32(names::kScaledScalars, of_scalars);
    }
    ops::update(program, optimizer, u, segments);
    if (also) also(program, u.norm);
    return program;
}

}  // namespace dropforge
