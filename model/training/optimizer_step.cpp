#include "model/training/optimizer_step.h"

#include "model/network/dropping_ops.h"

namespace dropforge {

void ops::update(Program& program, Optimizer optimizer, const Update& u, std::span<const kernels::Segment> segments) {
    const Tensor norm_scratch = program.scratch("norm.scratch", kernels::global_norm_scratch_bytes(segments));
    program.add("gradient_norm", {.reads = {u.gradients}, .writes = {u.norm, norm_scratch}}, [=](const Run& r) {
        r.kernels.global_norm({r.at<float>(u.gradients), segments, r.at<float>(u.norm), r.at(norm_scratch)}, r.context);
    });
    if (u.loss_scale)
        program.add("loss_scale",
                    {.reads = {u.norm, u.scalars, u.loss_scale}, .writes = {u.norm, u.scaled_scalars, u.loss_scale}},
                    [=](const Run& r) {
                        r.kernels.loss_scale(
                            {r.at<float>(u.norm), r.at<kernels::UpdateScalars>(u.scalars),
                             r.at<kernels::UpdateScalars>(u.scaled_scalars), r.at<kernels::LossScale>(u.loss_scale)},
                            r.context);
                    });
    const Tensor scalars = u.loss_scale ? u.scaled_scalars : u.scalars;
    const bool lamb = optimizer == Optimizer::lamb;
    const Tensor scratch = program.scratch("update.scratch", lamb ? kernels::lamb_scratch_bytes(segments) : 0);
    const Access access{.reads = {u.parameters, u.gradients, u.moment1, u.moment2, u.norm, scalars},
                        .writes = {u.parameters, u.moment1, u.moment2, u.copy, scratch}};
    program.add(lamb ? "lamb" : "adamw", access, [=](const Run& r) {
        const kernels::Update arguments{r.at<float>(u.parameters),
                                        r.at<float>(u.gradients),
                                        r.at<float>(u.moment1),
                                        r.at<float>(u.moment2),
                                        r.at(u.copy),
                                        u.copy.dtype,
                                        r.at<float>(u.norm),
                                        r.at<kernels::UpdateScalars>(scalars),
                                        segments,
                                        r.at(scratch)};
        (lamb ? r.kernels.lamb : r.kernels.adamw)(arguments, r.context);
    });
}

Program optimizer_step(const Parameters& parameters, DType dtype, ops::Optimizer optimizer,
                       std::span<const kernels::Segment> segments, const std::optional<ImportanceOptions>& importance) {
    Program program("optimizer step");
    const Shape arena{parameters.size()};
    const auto f32 = [&](const char* name, const Shape& shape) { return program.bound(name, DType::f32, shape); };
    const Shape of_scalars{sizeof(kernels::UpdateScalars) / sizeof(float)};
    ops::Update u{.parameters = f32("parameters", arena),
                  .gradients = f32("gradients", arena),
                  .moment1 = f32("moment1", arena),
                  .moment2 = f32("moment2", arena),
                  .copy = is_16_bit(dtype) ? program.bound("copy", dtype, arena) : Tensor{},
                  .norm = f32("gradient_norm", {1}),
                  .scalars = f32("update_scalars", of_scalars)};
    if (dtype == DType::fp16) {
        u.loss_scale = f32("loss_scale", {sizeof(kernels::LossScale) / sizeof(float)});
        u.scaled_scalars = f32("scaled_scalars", of_scalars);
    }
    ops::update(program, optimizer, u, segments);
    if (!importance) return program;
    const Shape ids{parameters.config().vocabulary};
    ops::importance_update(program, "importance", f32("importance_sums", ids), f32("importance_counts", ids),
                           f32("importance", ids), u.norm, importance->fixed, importance->beta);
    return program;
}

}  // namespace dropforge
