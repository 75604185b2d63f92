// The choice of attention's kernels: a library's (cuDNN) for each shape that it supports, for which it has no known
// defect, and whose results it got right in a check on this GPU; else our own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/attention/attention_library.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

/// The choices of one context. Forward and backward of a shape are always chosen together: they must draw the same
/// dropout.
class AttentionKernels final : public KernelSelector {
  public:
    /// `library` may be nullptr; `why_no_library` is then the reason.
    AttentionKernels(CudaContext& context, AttentionUse use, std::unique_ptr<AttentionLibrary> library,
                     std::string why_no_library);

    void forward(const AttentionForward& a);
    void backward(const AttentionBackward& a);
    std::vector<KernelChoice> choices() const override;

  private:
    struct Chosen {
        std::unique_ptr<AttentionPlan> plan;  // nullptr: our own kernels
        void* workspace = nullptr;
        KernelChoice report;
    };
    Chosen& chosen(const AttentionShape& shape);
    Chosen choose(const AttentionShape& shape);
    /// Why the library is not used for the shape; empty: `chosen` has its plan.
    std::string try_library(const AttentionShape& shape, Chosen& chosen);
    void* workspace(int64_t bytes);
    template <typename Call>
    void by_library(const Call& call) const;

    CudaContext& context_;
    AttentionUse use_;
    std::unique_ptr<AttentionLibrary> library_;
    std::string why_no_library_;
    std::map<AttentionShape, Chosen> chosen_;
    std::vector<DeviceMemory> workspaces_;  // each larger than the one before; recordings may use any
    int64_t workspace_bytes_ = 0;           // size of the last
};

/// The environment variable DROPFORGE_ATTENTION (auto, cudnn, own), if it is set, else options.attention.
AttentionUse attention_use(const CudaOptions& options);

}  // namespace dropforge::kernels::on_cuda
