// Semantic-consistent token dropping (Zhong et al. 2023): the semantic-align step, which sends a batch through the
// model with and without dropped tokens and draws the two together (docs/algorithms.md, "ScTD").
#pragma once

#include <array>
#include <optional>

#include "model/methods/token_dropping.h"
#include "model/network/pooling.h"

namespace dropforge {

/// What ScTD's divergence is divided by: masked positions (as in the published runs), or sequences.
enum class KlNormalization : uint8_t { tokens, sequences };
inline constexpr std::array kKlNormalizationNames{"tokens", "sequences"};

/// The table [sctd]; docs/algorithms.md, "ScTD". The two `_end` values turn a constant into a line over the steps of
/// the run.
struct SctdOptions {
    int64_t interval = 10;                     // every so many steps one is a semantic-align step: section 3.2
    std::optional<int64_t> interval_end = {};  // none: interval
    double lambda = 0.05;                      // weight of the divergences: section 3.2
    std::optional<double> lambda_end = {};     // none: lambda
    Pooling pooled = Pooling::cls;             // whose distributions are compared (the paper: [CLS])
    KlNormalization kl_normalization = KlNormalization::tokens;
    bool full_mlm = true;     // ½ MLM of each pass (the paper); false: MLM of the pass with dropped tokens (the code)
    bool share_trunk = true;  // layers before the first dropped token run once for both passes
    bool recompute = false;   // the pass with dropped tokens runs forward twice: less memory (docs/architecture.md)

    int64_t last_interval() const { return interval_end.value_or(interval); }
    double last_lambda() const { return lambda_end.value_or(lambda); }
};

constexpr StepKind kAlignStep{2};

/// With a = interval, b = interval_end, T = steps, of the steps that drop tokens:
///   a = b    every a-th step aligns: step % a == 0
///   a ≠ b    align steps come at the rate 1 / (a + (b − a)·t / T) at time t, so that up to step s there are
///            ⌊T / (b − a) · ln(1 + (b − a)·s / (a·T))⌋ of them
///   λ        from lambda at step 1 to lambda_end at step T, on a line
/// Steps that drop none are dense, and don't shift the count.
class Sctd final : public TokenDropping {
  public:
    Sctd(const RunShape& shape, const DroppingOptions& dropping, const SctdOptions& options,
         std::shared_ptr<const Routing> routing = {});

    const char* name() const override { return "sctd"; }
    std::string text() const override;
    std::vector<std::string> kinds() const override { return {"dense", "dropping", "align"}; }
    StepKind kind(int64_t step) const override;
    int64_t count(StepKind kind) const override;
    double share(StepKind kind) const override;
    /// Of an align step the inputs and outputs are those of a dropping step, for the pass with dropped tokens; the
    /// further input kl_scale [1] (λ over the divergences' divisor) and the outputs kl_local, kl_global [B] (of each
    /// sequence, without λ) and, with full_mlm, mlm_totals_full, nsp_totals_full [3]. mlm_scale and nsp_scale weigh
    /// both passes alike.
    Program program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const override;
    NamedNumbers inputs(const StepInfo& info) const override;
    std::vector<StepResultSource> sources(std::span<const LossHeadPointer> heads) const override;
    double loss(const StepInfo& info, NamedNumbers& results) const override;
    void add_up(const StepInfo& info, const NamedNumbers& results, NamedNumbers& interval) const override;
    NamedNumbers metrics(int64_t step, const NamedNumbers& interval) const override;

    /// Weight of the divergences at that step.
    double lambda(int64_t step) const;

  private:
    /// How many of the steps 1 … `step` are due to align, wherever dropping begins and ends.
    int64_t aligned_through(int64_t step) const;
    double divisor(const StepInfo& info) const;

    const SctdOptions options_;
};

MethodEntry sctd_method();

}  // namespace dropforge
