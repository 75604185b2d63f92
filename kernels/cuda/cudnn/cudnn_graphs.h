// cuDNN's graphs of scaled dot product attention, and of products with GELU, by NVIDIA's header-only cudnn-frontend.
// That takes most of a minute to compile, so nothing else is in cudnn_graphs.cpp, and nothing of it is in this header.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/attention/attention_library.h"

struct cudnnContext;
struct CUstream_st;

namespace dropforge::kernels::on_cuda {

/// From now on the frontend finds cuDNN's functions in this library (of dlopen).
void use_cudnn(void* library);
/// 91900: 9.19.0.
int64_t cudnn_version();

struct DestroyCudnn {
    void operator()(cudnnContext* handle) const noexcept;
};
using CudnnHandle = std::unique_ptr<cudnnContext, DestroyCudnn>;
/// Error if there is no GPU that cuDNN can use.
CudnnHandle make_cudnn(CUstream_st* stream);

enum class Pass : uint8_t { forward, backward };

/// The operands of one call. In backward, `out` is read and d… are written.
struct CudnnOperands {
    const void *q, *k, *v, *out, *lse, *dout, *dq, *dk, *dv;
    const void *rows, *lengths;  // [B] i32: rows_q in each, and how many keys are seen
    const void *seed, *offset;   // [1] i64 each, if there is dropout
};

/// One pass of a shape. Keys beyond a sequence's length are masked as padding, so that the true lengths always go in.
/// dq is summed in a fixed order.
class CudnnAttention {
  public:
    /// For GPUs of that compute capability (90: 9.0).
    CudnnAttention(const AttentionShape& shape, Pass pass, int compute_capability);
    ~CudnnAttention();
    CudnnAttention(const CudnnAttention&) = delete;
    CudnnAttention& operator=(const CudnnAttention&) = delete;

    /// Both give why the shape is not supported, or nothing. `build` makes it ready to run on the handle's GPU;
    /// `support` asks for a GPU that cuDNN's JSON of device properties describes and that need not be there.
    std::string build(cudnnContext* handle);
    std::string support(const std::string& device);

    /// After build.
    std::string name() const;
    int64_t workspace_bytes() const;
    /// Likewise. Error if cuDNN fails.
    void run(cudnnContext* handle, const CudnnOperands&, void* workspace);

  private:
    struct Graph;
    std::unique_ptr<Graph> graph_;
};

/// What a Gemm with GELU beside it is, but for pointers: a is not transposed; a, c and GELU's matrix have rows of whole
/// 16-byte vectors.
struct GeluProduct {
    int64_t m, n, k, lda, ldb;
    bool transpose_b, bias, slope;  // slope: Gemm::gelu.input, else .output
    Gelu form;
    DType dtype;
};

/// A product and what is pointwise after it, in one kernel.
class CudnnGelu {
  public:
    /// For GPUs of that compute capability (90: 9.0).
    CudnnGelu(const GeluProduct& product, int compute_capability);
    ~CudnnGelu();
    CudnnGelu(const CudnnGelu&) = delete;
    CudnnGelu& operator=(const CudnnGelu&) = delete;

    /// Why not, or nothing, as of CudnnAttention. `build` makes cuDNN's n-th proposal ready, from 0, the most
    /// promising; one whose result depends on luck, or that rounds on the way, is refused.
    std::string build(cudnnContext* handle, int64_t n);
    std::string support(const std::string& device);

    /// After build.
    std::string name() const;
    int64_t workspace_bytes() const;
    /// Likewise. Error if cuDNN fails.
    void run(cudnnContext* handle, const Gemm& g, void* workspace);

  private:
    struct Graph;
    std::unique_ptr<Graph> graph_;
};

}  // namespace dropforge::kernels::on_cuda
