// cuDNN's graphs of scaled dot product attention and of GEMMs with a GELU epilogue, by NVIDIA's header-only
// cudnn-frontend. That takes most of a minute to compile, so only cudnn_graphs.cpp includes it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/attention/attention_library.h"

struct cudnnContext;
struct CUstream_st;

namespace dropforge::kernels::on_cuda {

/// Sets the library (of dlopen) in which the frontend looks up cuDNN's functions.
void use_cudnn(void* library);
/// cuDNN's version: 91900 is 9.19.0.
int64_t cudnn_version();

struct DestroyCudnn {
    void operator()(cudnnContext* handle) const noexcept;
};
using CudnnHandle = std::unique_ptr<cudnnContext, DestroyCudnn>;
/// A handle for calls on the stream. Error if there is no GPU that cuDNN can use.
CudnnHandle make_cudnn(CUstream_st* stream);

enum class Pass : uint8_t { forward, backward };

/// The operands of one call. Backward reads `out` and writes dq, dk, dv.
struct CudnnOperands {
    const void *q, *k, *v, *out, *lse, *dout, *dq, *dk, *dv;
    const void *rows, *lengths;  // [B] i32: rows_q in each entry; the number of keys attended to
    const void *seed, *offset;   // [1] i64 each, if there is dropout
};

/// One pass of attention of one shape. Keys beyond a sequence's length are masked as padding. The backward is
/// deterministic.
class CudnnAttention {
  public:
    /// `compute_capability` is the GPU's (90: 9.0).
    CudnnAttention(const AttentionShape& shape, Pass pass, int compute_capability);
    ~CudnnAttention();
    CudnnAttention(const CudnnAttention&) = delete;
    CudnnAttention& operator=(const CudnnAttention&) = delete;

    /// Builds the graph for the handle's GPU. Returns why the shape is not supported; empty: it is.
    std::string build(cudnnContext* handle);
    /// Why the shape is not supported on a GPU that `device` describes, cuDNN's JSON of device properties; empty: it
    /// is. Needs no GPU.
    std::string support(const std::string& device);

    // The rest is for a graph that was built.
    std::string name() const;
    int64_t workspace_bytes() const;
    /// Queues the pass. Error if cuDNN fails.
    void run(cudnnContext* handle, const CudnnOperands&, void* workspace);

  private:
    struct Graph;
    std::unique_ptr<Graph> graph_;
};

/// A Gemm with a GELU epilogue, without its pointers: a is not transposed; rows of a, c and GELU's matrix are aligned
/// to 16 bytes.
struct GeluGemm {
    int64_t m, n, k, lda, ldb;
    bool transpose_b, bias, slope;  // slope: Gemm::gelu.input, else .output
    Gelu form;
    DType dtype;
};

/// A GEMM with a GELU epilogue, in one kernel.
class CudnnGelu {
  public:
    /// `compute_capability` is the GPU's (90: 9.0).
    CudnnGelu(const GeluGemm& gemm, int compute_capability);
    ~CudnnGelu();
    CudnnGelu(const CudnnGelu&) = delete;
    CudnnGelu& operator=(const CudnnGelu&) = delete;

    /// As CudnnAttention's, for cuDNN's n-th proposal; 0 is the most promising. A nondeterministic one is refused, and
    /// one that rounds intermediate results.
    std::string build(cudnnContext* handle, int64_t n);
    std::string support(const std::string& device);

    // The rest is for a graph that was built.
    std::string name() const;
    int64_t workspace_bytes() const;
    /// Queues the GEMM. Error if cuDNN fails.
    void run(cudnnContext* handle, const Gemm& g, void* workspace);

  private:
    struct Graph;
    std::unique_ptr<Graph> graph_;
};

}  // namespace dropforge::kernels::on_cuda
