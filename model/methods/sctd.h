// Semantic-consistent token dropping (Zhong et al. 2023): the semantic-align step, which sends a batch through the
// model with and without dropped tokens and draws the two together (docs/algorithms.md, "ScTD").
#pragma once

#include "model/methods/routing.h"

namespace dropforge {

/// What decides about an align step's Program; the rest of SctdOptions are numbers that its inputs bring.
struct AlignOptions {
    Pooling pooled = Pooling::cls;
    bool full_mlm = true, share_trunk = true;
    bool recompute = false;  // SctdOptions::recompute
};

/// Forward and backward of one micro-batch of a semantic-align step. Inputs and outputs of token_dropping_step, for the
/// pass with dropped tokens; the further input kl_scale [1] (λ over the divergences' divisor) and the outputs kl_local,
/// kl_global [B] (of each sequence, without λ) and, with full_mlm, mlm_totals_full, nsp_totals_full [3]. mlm_scale and
/// nsp_scale weigh both passes alike.
Program align_step(const Parameters& parameters, const BuildOptions& options, const Routing& routing, int64_t keep,
                   const AlignOptions& align);

}  // namespace dropforge
