// Mask later (Liao et al. 2022, arXiv 2211.04898): positions that hold [MASK] leave the first layers and join the rest
// as they were embedded (docs/algorithms.md, "Mask later").
#pragma once

#include "model/methods/registry.h"
#include "model/network/bypass.h"

namespace dropforge {

/// The table [mask_later], and data.mask_token_share.
struct MaskLaterOptions {
    int64_t layer = -2;           // that [MASK] joins; below 0 it counts from the model's last: L-2
    double mask_token_share = 1;  // of the masked positions hold [MASK], the others in turn their token or a random one
};

constexpr StepKind kMaskLaterStep{1};

class MaskLater final : public Method {
  public:
    /// `layer`: 0 … L-1; `masks`: [MASK] in every sequence. Where either is 0 every step is dense.
    MaskLater(const RunShape& shape, int64_t layer, int64_t masks, double share = 1);

    const char* name() const override { return "mask_later"; }
    std::string text() const override;
    std::vector<std::string> kinds() const override { return {"dense", "mask later"}; }
    StepKind kind(int64_t) const override { return leaves() ? kMaskLaterStep : StepKind::dense; }
    int64_t count(StepKind kind) const override { return kind == this->kind(1) ? shape_.steps : 0; }
    double share(StepKind kind) const override { return kind == this->kind(1) ? 1 : 0; }
    /// Inputs and outputs of dense_step() and evaluation(), and the inputs kept_positions i32 [B,R] of the R = S −
    /// masks others, and kept_lengths [B] where the batch has lengths.
    Program program(StepKind kind, const Parameters& parameters, const BuildOptions& options) const override;
    Program evaluation_program(const Parameters& parameters, const BuildOptions& options) const override;
    std::vector<std::string> input_names(StepKind kind) const override;
    /// Throws Error for a sequence with another number of [MASK].
    void fill_inputs(const StepInfo& info, const MicroBatch& batch, const InputPlace& place) const override;
    std::vector<ChosenRows> chosen(StepKind kind) const override;
    std::optional<double> kept_share(StepKind kind) const override;
    std::optional<double> mask_token_share() const override { return share_; }
    std::string note_on_filling() const override;

  private:
    bool leaves() const { return layer_ > 0 && masks_ > 0; }
    int64_t rows() const { return shape_.sequence - masks_; }
    std::vector<LayerSpan> spans(Builder& builder) const;

    const int64_t layer_, masks_;
    const double share_;
};

MethodEntry mask_later_method();

}  // namespace dropforge
