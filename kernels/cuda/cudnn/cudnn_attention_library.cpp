// Attention by cuDNN: serves attention_library.h.
#include <algorithm>
#include <span>
#include <vector>

#include "base/error.h"
#include "kernels/cuda/attention/attention_library.h"
#include "kernels/cuda/cudnn/cudnn.h"
#ifdef DROPFORGE_CUDNN
#include "kernels/cuda/attention/functions.h"
#include "kernels/cuda/cudnn/cudnn_trouble.h"
#endif

namespace dropforge::kernels::on_cuda {

#ifdef DROPFORGE_CUDNN
namespace {

class CudnnPlan final : public AttentionPlan {
  public:
    CudnnPlan(const AttentionShape& shape, CudaContext& context, cudnnContext* handle, int64_t* seed_and_offset)
        : forward_(shape, Pass::forward, context.device().compute_capability),
          backward_(shape, Pass::backward, context.device().compute_capability),
          rows_(constant(context, shape.batch, shape.rows_q)),
          all_keys_(constant(context, shape.batch, shape.rows_kv)),
          context_(context),
          handle_(handle),
          seed_and_offset_(seed_and_offset) {}

    /// Builds both graphs. Returns why they cannot be used; empty: they can.
    std::string build() {
        std::string why_not = forward_.build(handle_);
        return why_not.empty() ? backward_.build(handle_) : why_not;
    }

    std::string name() const override { return forward_.name() + ", " + backward_.name(); }
    int64_t workspace_bytes() const override {
        return std::max(forward_.workspace_bytes(), backward_.workspace_bytes());
    }
    void forward(const AttentionForward& a, void* workspace) override {
        CudnnOperands o = operands(a);
        run(forward_, a.dropout, o, workspace);
    }
    void backward(const AttentionBackward& a, void* workspace) override {
        require(AttentionShape::are_aligned({a.dout, a.dq, a.dk, a.dv}),
                "gradients of attention must be aligned to 16 bytes, as its operands are");
        CudnnOperands o = operands(a);
        o.dout = a.dout;
        o.dq = a.dq;
        o.dk = a.dk;
        o.dv = a.dv;
        run(backward_, a.dropout, o, workspace);
    }

  private:
    static const int32_t* constant(CudaContext& context, int64_t batch, int64_t value) {
        const std::vector<int32_t> values(static_cast<size_t>(batch), static_cast<int32_t>(value));
        return context.constants.find(std::span<const int32_t>(values));
    }
    template <typename Attention>
    CudnnOperands operands(const Attention& a) const {
        return {.q = a.q,
                .k = a.k,
                .v = a.v,
                .out = a.out,
                .lse = a.lse,
                .dout = nullptr,
                .dq = nullptr,
                .dk = nullptr,
                .dv = nullptr,
                .rows = rows_,
                .lengths = a.lengths ? a.lengths : all_keys_,
                .seed = seed_and_offset_,
                .offset = seed_and_offset_ + 1};
    }
    void run(CudnnAttention& pass, const Dropout& dropout, const CudnnOperands& o, void* workspace) {
        if (dropout.active()) draw_attention_seed(dropout, seed_and_offset_, context_);
        pass.run(handle_, o, workspace);
    }

    CudnnAttention forward_, backward_;
    const int32_t *rows_, *all_keys_;
    CudaContext& context_;
    cudnnContext* handle_;
    int64_t* seed_and_offset_;
};

class Cudnn final : public AttentionLibrary {
  public:
    /// Keys up to which our own kernels took 0.49 to 0.82 of the time of cuDNN 9.19's on an H100, forward and backward,
    /// at heads of 64; beyond, 0.95 to 1.27 (docs/gpu.md). A rule and no measurement at start, so that equal runs draw
    /// equal dropout.
    static constexpr int64_t kOwnIsFaster = 128;

    explicit Cudnn(CudaContext& context)
        : context_(context),
          handle_(open_cudnn(context)),
          version_(cudnn_version()),
          seed_and_offset_(device_memory(2 * sizeof(int64_t))) {}

    std::string name() const override { return cudnn_name(); }
    std::string known_trouble(const AttentionShape& shape) const override {
        std::string trouble = cudnn_trouble(version_, context_.device().compute_capability, shape);
        if (trouble.empty() && shape.rows_kv <= kOwnIsFaster)
            trouble = fmt::format("our own kernels are faster than cuDNN's up to {} keys", kOwnIsFaster);
        return trouble;
    }
    std::unique_ptr<AttentionPlan> plan(const AttentionShape& shape, std::string& why_not) override {
        return made_by_cudnn(why_not, [&]() -> std::unique_ptr<AttentionPlan> {
            auto plan = std::make_unique<CudnnPlan>(shape, context_, handle_.get(),
                                                    static_cast<int64_t*>(seed_and_offset_.get()));
            why_not = plan->build();
            return why_not.empty() ? std::move(plan) : nullptr;
        });
    }

  private:
    CudaContext& context_;
    CudnnHandle handle_;
    int64_t version_;
    DeviceMemory seed_and_offset_;
};

}  // namespace
#endif

std::unique_ptr<AttentionLibrary> open_attention_library([[maybe_unused]] CudaContext& context, std::string& why_not) {
    return made_by_cudnn(why_not, [&]() -> std::unique_ptr<AttentionLibrary> {
#ifdef DROPFORGE_CUDNN
        return std::make_unique<Cudnn>(context);
#else
        throw Error("this program was built without cudnn-frontend");
#endif
    });
}

}  // namespace dropforge::kernels::on_cuda
