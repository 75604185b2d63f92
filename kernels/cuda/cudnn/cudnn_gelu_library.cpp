// GEMMs with a GELU epilogue by cuDNN: implements gelu_library.h.
#include <algorithm>

#include "base/error.h"
#include "kernels/cuda/cudnn/cudnn.h"
#include "kernels/cuda/gemm/gelu_library.h"
#include "kernels/cuda/runtime/workspace.h"

namespace dropforge::kernels::on_cuda {

#ifdef DROPFORGE_CUDNN
namespace {

class CudnnKernel final : public GeluKernel {
  public:
    CudnnKernel(const GeluGemm& gemm, CudaContext& context, cudnnContext* handle)
        : graph_(gemm, context.device().compute_capability), context_(context), handle_(handle) {}

    /// Builds the graph. Returns why it cannot be used; empty: it can.
    std::string build(int64_t proposal) {
        std::string why_not = graph_.build(handle_, proposal);
        if (why_not.empty() && graph_.workspace_bytes() > kWorkspaceBytes)
            why_not =
                fmt::format("it needs {} bytes of workspace, more than {}", graph_.workspace_bytes(), kWorkspaceBytes);
        return why_not;
    }
    std::string name() const override { return graph_.name(); }
    void run(const Gemm& g) override { graph_.run(handle_, g, context_.workspace()); }

  private:
    CudnnGelu graph_;
    CudaContext& context_;
    cudnnContext* handle_;
};

class Cudnn final : public GeluLibrary {
  public:
    explicit Cudnn(CudaContext& context) : context_(context), handle_(open_cudnn(context)) {}

    std::string name() const override { return cudnn_name(); }
    int64_t version() const override { return cudnn_version(); }
    std::unique_ptr<GeluKernel> kernel(const GemmKey& key, int64_t n, std::string& why_not) override {
        constexpr int64_t kVector = 8;  // 16-bit numbers in the widest access
        const bool aligned = std::min({key.align_a, key.align_b, key.align_c}) == 2 * kVector;
        if (!aligned || (key.lda | key.ldb | key.n) % kVector != 0 || key.transpose_a) {
            why_not = name() + ": rows are not aligned to 16 bytes";
            return nullptr;
        }
        const GeluGemm gemm{.m = key.m,
                            .n = key.n,
                            .k = key.k,
                            .lda = key.lda,
                            .ldb = key.ldb,
                            .transpose_b = key.transpose_b,
                            .bias = key.bias,
                            .slope = key.gelu == GeluEpilogue::slope,
                            .form = key.form,
                            .dtype = key.dtype};
        std::unique_ptr<GeluKernel> made = made_by_cudnn(why_not, [&]() -> std::unique_ptr<GeluKernel> {
            auto kernel = std::make_unique<CudnnKernel>(gemm, context_, handle_.get());
            why_not = kernel->build(n);
            return why_not.empty() ? std::move(kernel) : nullptr;
        });
        if (!made) why_not = fmt::format("{}: {}", name(), why_not);
        return made;
    }

  private:
    CudaContext& context_;
    CudnnHandle handle_;
};

}  // namespace
#endif

std::unique_ptr<GeluLibrary> open_gelu_library([[maybe_unused]] CudaContext& context, std::string& why_not) {
    return made_by_cudnn(why_not, [&]() -> std::unique_ptr<GeluLibrary> {
#ifdef DROPFORGE_CUDNN
        return std::make_unique<Cudnn>(context);
#else
        throw Error("this program was built without cudnn-frontend");
#endif
    });
}

}  // namespace dropforge::kernels::on_cuda
