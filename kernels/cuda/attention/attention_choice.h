// Which kernels serve attention: a library's (cuDNN) for each shape that it takes, that is not known to be wrong there,
// and that has passed a check on this GPU; else our own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/attention/attention_library.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

/// Of one context. Forward and backward of a shape are always served by the same: they must draw the same dropout.
class AttentionKernels final : public KernelSelector {
  public:
    /// `library` may be nullptr: `why_no_library` says why.
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
    /// Why the library is not to be used for the shape, or nothing: then `chosen` has its plan.
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
    int64_t workspace_bytes_ = 0;           // of the last
};

/// Of the environment variable DROPFORGE_ATTENTION, if there is one (auto, cudnn, own), else of the options.
AttentionUse attention_use(const CudaOptions& options);

}  // namespace dropforge::kernels::on_cuda
