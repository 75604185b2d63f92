// How a run is to be trained: densely, with token dropping (Hou et al. 2022), or with semantic-consistent token
// dropping (ScTD, Zhong et al. 2023); and what each of its steps is to be.
#pragma once

#include <cstdint>
#include <optional>

namespace dropforge {

enum class Method : uint8_t { dense, token_dropping, sctd };
/// How the tokens that stay are chosen: model/routing.h.
enum class RoutingKind : uint8_t { importance, random, frequency };
/// Whose distributions ScTD compares: the [CLS] rows' (the paper), or those of the mean over all real rows.
enum class Pooling : uint8_t { cls, mean };
/// What ScTD's divergence is divided by: masked positions (as in the published runs), or sequences.
enum class KlNormalization : uint8_t { tokens, sequences };
/// What one training step does.
enum class StepKind : uint8_t { dense, dropping, align };

/// How many tokens of a sequence stay: a count, or a share of the sequence's length, rounded down.
struct Keep {
    double value = 0.5;
    bool is_share = true;

    /// Tokens out of `sequence`; may be out of range, which RunConfig::validate() refuses.
    int64_t of(int64_t sequence) const;
    friend bool operator==(const Keep&, const Keep&) = default;
};

/// Token dropping; docs/algorithms.md, "Token dropping".
struct DroppingOptions {
    Keep keep;
    RoutingKind routing = RoutingKind::importance;
    double importance_beta = 0.995;  // of the table's moving average; 0.995: the authors' code (0.95: ScTD's)
    int64_t start_step = 0;          // the first so many steps are dense
    int64_t end_step = 0;            // the steps after this one are dense; 0: none
};

/// ScTD; docs/algorithms.md, "ScTD". The two `_end` values turn a constant into a line from the first step of the run
/// to its last.
struct SctdOptions {
    int64_t interval = 10;  // every so many steps one is a semantic-align step: section 3.2
    std::optional<int64_t> interval_end = {};
    double lambda = 0.05;  // weight of the divergences: section 3.2
    std::optional<double> lambda_end = {};
    Pooling pooled = Pooling::cls;
    KlNormalization kl_normalization = KlNormalization::tokens;
    bool full_mlm =
        true;  // ½ MLM of each pass (the paper); false: MLM of the pass with dropped tokens alone (the code)
    bool share_trunk = true;  // layers before the first dropped token run once for both passes
};

/// What each step of a run is: a pure function of the options and the step's number, so that a resumed run goes on
/// alike.
class StepSchedule {
  public:
    StepSchedule(Method method, const DroppingOptions& dropping, const SctdOptions& sctd, int64_t steps);

    /// Of step 1 … steps.
    StepKind kind(int64_t step) const;
    /// Weight of ScTD's divergences at that step.
    double lambda(int64_t step) const;
    /// Whether any step is of that kind.
    bool has(StepKind kind) const;

  private:
    bool aligns(int64_t step) const;

    Method method_;
    DroppingOptions dropping_;
    SctdOptions sctd_;
    int64_t steps_;
};

}  // namespace dropforge
