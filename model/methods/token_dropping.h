// Token dropping (Hou et al. 2022): the choice of tokens, and the training step that leaves the others out of half the
// layers (docs/algorithms.md, "Token dropping").
#pragma once

#include "model/methods/routing.h"
#include "model/network/encoder.h"

namespace dropforge {

/// Adds the ops that choose `keep` tokens of each sequence by `routing`: reads the inputs input_ids, lengths,
/// importance [V]; binds the output kept_positions i32 [B, rows of the first subset]. No op and no output if every
/// layer sees all tokens. Throws Error if the routing's rows are impossible.
DroppedTokens drop_tokens(Builder& builder, const Routing& routing, int64_t keep);

/// Forward and backward of one micro-batch with dropped tokens; inputs and outputs of dense_step (model/network/bert.h)
/// and of drop_tokens. Where keep is the whole sequence this is the dense step.
Program token_dropping_step(const Parameters& parameters, const BuildOptions& options, const Routing& routing,
                            int64_t keep);

}  // namespace dropforge
