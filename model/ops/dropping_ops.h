// Builders, as those of engine/ops.h, of what token dropping and ScTD need in addition to BERT's own ops: the choice of
// the rows that stay, the importance table, and the divergence of two passes.
#pragma once

#include <span>
#include <string>

#include "engine/program.h"

namespace dropforge::ops {

// ------------------------------------------------------------------------------------------------------ token dropping
/// ids i32 [B,S], table f32 [V] → values f32 [B,S]; noise is the u32 [4] of kernels::TokenValues, may be absent.
void token_values(Program& program, const std::string& name, Tensor ids, Tensor table, Tensor noise, uint32_t site,
                  Tensor values);
/// values f32 [B,S] → kept i32 [B,K], ascending. lengths and kept_lengths, i32 [B], may be absent.
void top_k(Program& program, const std::string& name, Tensor values, Tensor lengths, Tensor kept, Tensor kept_lengths);
/// labels i32, weights and loss f32, all of one size → sums, counts f32 [V].
void importance_sums(Program& program, const std::string& name, Tensor labels, Tensor weights, Tensor loss, Tensor sums,
                     Tensor counts, bool accumulate);
/// Moves table f32 [V] unless norm f32 [1] is not finite. `fixed` must outlive the program.
void importance_update(Program& program, const std::string& name, Tensor sums, Tensor counts, Tensor table, Tensor norm,
                       std::span<const kernels::FixedValue> fixed, double beta);

// ------------------------------------------------------------------------------------------------ semantic consistency
struct Pool {
    Tensor x;        // [B*per_sequence, h]; in the backward pass only its shape counts
    Tensor lengths;  // i32 [B], may be absent
    int64_t count;   // rows pooled where lengths is absent
};
/// pooled, dpooled f32 [B,h]; dx as x.
void pool_forward(Program& program, const std::string& name, const Pool& p, Tensor pooled);
void pool_backward(Program& program, const std::string& name, const Pool& p, Tensor dpooled, Tensor dx,
                   bool accumulate);
/// target, input f32 [R,h] → kl f32 [R], and, if gradient_scale f32 [1] is given, dtarget and dinput, which may be
/// target and input. loss_scale: as of CrossEntropy.
void kl_divergence(Program& program, const std::string& name, Tensor target, Tensor input, Tensor gradient_scale,
                   Tensor loss_scale, Tensor kl, Tensor dtarget, Tensor dinput);

}  // namespace dropforge::ops
