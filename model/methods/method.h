// How a run is to be trained: densely, with token dropping (Hou et al. 2022), or with semantic-consistent token
// dropping (ScTD, Zhong et al. 2023); and what each of its steps is to be.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace dropforge {

enum class Method : uint8_t { dense, token_dropping, sctd };
/// Whose distributions ScTD compares: the [CLS] rows' (the paper), or those of the mean over all real rows.
enum class Pooling : uint8_t { cls, mean };
/// What ScTD's divergence is divided by: masked positions (as in the published runs), or sequences.
enum class KlNormalization : uint8_t { tokens, sequences };
/// What one training step does.
enum class StepKind : uint8_t { dense, dropping, align };

// Their names in configurations, options and reports, in the order of each enum.
inline constexpr std::array kMethodNames{"dense", "token_dropping", "sctd"};
inline constexpr std::array kPoolingNames{"cls", "mean"};
inline constexpr std::array kKlNormalizationNames{"tokens", "sequences"};
inline constexpr std::array kStepKindNames{"dense", "dropping", "align"};

constexpr const char* name_of(Method method) { return kMethodNames[static_cast<size_t>(method)]; }
constexpr const char* name_of(Pooling pooling) { return kPoolingNames[static_cast<size_t>(pooling)]; }
constexpr const char* name_of(KlNormalization kl) { return kKlNormalizationNames[static_cast<size_t>(kl)]; }
constexpr const char* name_of(StepKind kind) { return kStepKindNames[static_cast<size_t>(kind)]; }

/// Whether a method reads DroppingOptions; ScTD drops tokens too.
constexpr bool drops_tokens(Method method) { return method != Method::dense; }
/// Whether a method reads SctdOptions.
constexpr bool aligns_semantics(Method method) { return method == Method::sctd; }

/// How many tokens of a sequence stay: a count, or a share of the sequence's length, rounded down.
struct Keep {
    double value = 0.5;
    bool is_share = true;

    /// Tokens out of `sequence`; may be out of range, which RunConfig::validate() refuses.
    int64_t of(int64_t sequence) const;
    /// As in a configuration: "0.5", "1.0" (a share), "64" (a count).
    std::string text() const;
    friend bool operator==(const Keep&, const Keep&) = default;
};

/// Token dropping; docs/algorithms.md, "Token dropping".
struct DroppingOptions {
    Keep keep = {};
    std::string routing = "importance";  // how the tokens that stay are chosen: a name of model/methods/routing.h
    double importance_beta = 0.995;      // of the table's moving average; 0.995: the authors' code (0.95: ScTD's)
    int64_t start_step = 0;              // the first so many steps are dense
    int64_t end_step = 0;                // the steps after this one are dense; 0: none
};

/// ScTD; docs/algorithms.md, "ScTD". The two `_end` values turn a constant into a line over the steps of the run.
struct SctdOptions {
    int64_t interval = 10;                     // every so many steps one is a semantic-align step: section 3.2
    std::optional<int64_t> interval_end = {};  // none: interval
    double lambda = 0.05;                      // weight of the divergences: section 3.2
    std::optional<double> lambda_end = {};     // none: lambda
    Pooling pooled = Pooling::cls;
    KlNormalization kl_normalization = KlNormalization::tokens;
    bool full_mlm = true;     // ½ MLM of each pass (the paper); false: MLM of the pass with dropped tokens (the code)
    bool share_trunk = true;  // layers before the first dropped token run once for both passes
    bool recompute = false;   // the pass with dropped tokens runs forward twice: less memory (docs/architecture.md)

    int64_t last_interval() const { return interval_end.value_or(interval); }
    double last_lambda() const { return lambda_end.value_or(lambda); }
};

/// What each step of a run is: a pure function of the options and the step's number, so that a resumed run goes on
/// alike. With a = interval, b = interval_end, T = steps:
///   a = b    every a-th step aligns: step % a == 0
///   a ≠ b    align steps come at the rate 1 / (a + (b − a)·t / T) at time t, so that up to step s there are
///            ⌊T / (b − a) · ln(1 + (b − a)·s / (a·T))⌋ of them
///   λ        from lambda at step 1 to lambda_end at step T, on a line
/// Only steps start_step + 1 … end_step drop tokens or align; the others are dense, and don't shift the count.
class StepSchedule {
  public:
    StepSchedule(Method method, const DroppingOptions& dropping, const SctdOptions& sctd, int64_t steps);

    /// Of step 1 … steps.
    StepKind kind(int64_t step) const;
    /// Weight of ScTD's divergences at that step.
    double lambda(int64_t step) const;
    /// Whether any step is of that kind.
    bool has(StepKind kind) const;
    /// How many of the steps 1 … `steps` are of that kind, in closed form.
    int64_t count(StepKind kind) const;

  private:
    /// How many of the steps 1 … `step` are due to align, wherever dropping begins and ends.
    int64_t aligned_through(int64_t step) const;
    bool aligns(int64_t step) const { return aligned_through(step) > aligned_through(step - 1); }

    Method method_;
    DroppingOptions dropping_;
    SctdOptions sctd_;
    int64_t steps_;
};

}  // namespace dropforge
