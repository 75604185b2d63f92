// Random-LTD (Yao et al. 2022, arXiv 2211.11586): every layer but the first and the last works on random tokens of its
// own, more and more of them over the run (docs/algorithms.md, "Random-LTD").
#pragma once

#include <vector>

#include "model/methods/registry.h"
#include "model/network/bypass.h"

namespace dropforge {

/// The table [random_ltd].
struct RandomLtdOptions {
    CountOrShare start = {.value = 0.25};  // tokens of a sequence that a layer works on at first
    CountOrShare steps = {.value = 0.75};  // of the run, after which all layers work on all tokens
    int64_t stage = 16;                    // tokens by which they grow at a time
};

/// Steps whose middle layers work on the same number of tokens.
struct LtdStage {
    int64_t first_step = 1;
    int64_t keep = 0;                                  // K
    std::vector<std::vector<int32_t>> positions = {};  // parity: of layer 1 … L-2, [B,K]; else they are drawn
};

class RandomLtd final : public Method {
  public:
    RandomLtd(const RunShape& shape, const RandomLtdOptions& options);
    /// Stages in ascending order, the first from step 1 on.
    RandomLtd(const RunShape& shape, std::vector<LtdStage> stages);

    const char* name() const override { return "random_ltd"; }
    std::string text() const override;
    /// "dense", then "K tokens" for each stage.
    std::vector<std::string> kinds() const override;
    StepKind kind(int64_t step) const override;
    int64_t count(StepKind kind) const override;
    double share(StepKind kind) const override;
    /// Inputs and outputs of dense_step(); with given positions also kept_positions/stepN/layerI i32 [B,K]
    /// and kept_lengths/stepN/layerI [B].
    Program program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const override;
    std::vector<std::string> input_names(StepKind kind) const override;
    void fill_inputs(const StepInfo& info, const MicroBatch& batch, const InputPlace& place) const override;
    std::optional<double> kept_share(StepKind kind) const override;

  private:
    const LtdStage& stage(StepKind kind) const { return stages_[static_cast<size_t>(kind) - 1]; }
    /// The last step of the stage of that number, at most the run's last.
    int64_t end(size_t stage) const;
    TokenSubset draw(Builder& builder, const LtdStage& stage, int64_t layer, Tensor zeros) const;
    TokenSubset given(Builder& builder, const LtdStage& stage, int64_t layer) const;

    const std::vector<LtdStage> stages_;  // the last one's keep may be S: it is dense unless its positions are given
};

MethodEntry random_ltd_method();

}  // namespace dropforge
