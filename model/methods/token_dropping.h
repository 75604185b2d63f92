// Token dropping (Hou et al. 2022): the choice of tokens, and the training step that leaves the others out of half the
// layers (docs/algorithms.md, "Token dropping").
#pragma once

#include "model/methods/registry.h"
#include "model/methods/routing.h"
#include "model/network/encoder.h"

namespace dropforge {

/// The table [dropping]; docs/algorithms.md, "Token dropping".
struct DroppingOptions {
    CountOrShare keep = {};              // how many tokens of a sequence stay
    std::string routing = "importance";  // how the tokens that stay are chosen: a name of model/methods/routing.h
    double importance_beta = 0.995;      // of the table's moving average; 0.995: the authors' code (0.95: ScTD's)
    int64_t start_step = 0;              // the first so many steps are dense
    int64_t end_step = 0;                // the steps after this one are dense; 0: none
};

/// Steps with dropped tokens.
constexpr StepKind kDroppingStep{1};

class TokenDropping : public Method {
  public:
    /// `routing`: if not options.routing's.
    TokenDropping(const RunShape& shape, const DroppingOptions& options, std::shared_ptr<const Routing> routing = {});

    const char* name() const override { return "token_dropping"; }
    std::string text() const override;
    std::vector<std::string> kinds() const override { return {"dense", "dropping"}; }
    StepKind kind(int64_t step) const override { return drops(step) ? kDroppingStep : StepKind::dense; }
    int64_t count(StepKind kind) const override;
    double share(StepKind kind) const override { return kind == kDroppingStep ? 1 : 0; }
    /// In a step with dropped tokens inputs and outputs are those of dense_step() and drop_tokens(). Where keep is the
    /// whole sequence it is the dense step.
    Program program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const override;
    std::optional<double> kept_share(StepKind kind) const override;
    std::vector<MethodState> states() const override;
    std::vector<MethodState> accumulators() const override;
    std::vector<float> initial_state(std::string_view name, const TokenCounts& counts) const override;
    void add_update(Program& program, Tensor norm) const override;
    std::vector<ChosenRows> chosen(StepKind kind) const override;

  protected:
    /// Whether a step is one of those that drop tokens, and how many these are; they follow each other.
    bool drops(int64_t step) const { return step > first_step() && step <= last_step(); }
    int64_t first_step() const;
    int64_t last_step() const;
    /// Adds the ops that choose the tokens.
    DroppedTokens drop(Builder& builder) const;
    BuildOptions with_importance(BuildOptions options) const;

  private:
    const DroppingOptions options_;
    const std::shared_ptr<const Routing> routing_;
    const int64_t keep_, kept_;                     // kept_: in the first layer that drops any; S if none does
    const std::vector<kernels::FixedValue> fixed_;  // of the importance table, if it learns
};

/// The table's keys and rules, which ScTD has too.
std::vector<config::MethodKey> dropping_keys();
void check_dropping(const char* method, const RunShape& shape, const OptionTables& options, const NamedKey& key);
/// Throws Error for a model or a number of tokens that a parity run cannot work on.
void check_dropping_for_parity(const ParityCase& given);
MethodEntry token_dropping_method();

/// Adds the ops that choose `keep` tokens of each sequence by `routing`: reads the inputs input_ids, lengths,
/// importance [V]; binds the output kept_positions i32 [B, rows of the first subset]. No op and no output if every
/// layer sees all tokens. Throws Error if the routing's rows are impossible.
DroppedTokens drop_tokens(Builder& builder, const Routing& routing, int64_t keep);

}  // namespace dropforge
