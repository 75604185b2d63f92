// The interface of a library beside cuBLASLt that has GEMMs with a GELU epilogue; the folder cudnn/ implements it with
// cuDNN. gemm_plans_gelu.cpp decides whether its kernels are used.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/gemm/gemm_problem.h"

namespace dropforge::kernels::on_cuda {

class CudaContext;

/// A GEMM with a GELU epilogue, made for one GemmKey.
class GeluKernel {
  public:
    GeluKernel() = default;
    virtual ~GeluKernel() = default;
    GeluKernel(const GeluKernel&) = delete;
    GeluKernel& operator=(const GeluKernel&) = delete;

    virtual std::string name() const = 0;
    /// Queues g, which has the kernel's key, on the context's stream, with the context's workspace as scratch; nothing
    /// is allocated. Error if the library fails.
    virtual void run(const Gemm& g) = 0;
};

/// A library's kernels for GEMMs with a GELU epilogue.
class GeluLibrary {
  public:
    GeluLibrary() = default;
    virtual ~GeluLibrary() = default;
    GeluLibrary(const GeluLibrary&) = delete;
    GeluLibrary& operator=(const GeluLibrary&) = delete;

    /// Name with version: "cuDNN 9.19.0".
    virtual std::string name() const = 0;
    virtual int64_t version() const = 0;
    /// The library's n-th proposal for the key, whose storage is 16 bits; 0 is the most promising. The same key and n
    /// give the same kernel on the same GPU. nullptr with the reason in `why_not` if there is none, or it is refused.
    virtual std::unique_ptr<GeluKernel> kernel(const GemmKey& key, int64_t n, std::string& why_not) = 0;
};

/// Opens the library for the context's GPU; nullptr with the reason in `why_not` if it cannot be opened. The result
/// must not outlive the context.
std::unique_ptr<GeluLibrary> open_gelu_library(CudaContext& context, std::string& why_not);

}  // namespace dropforge::kernels::on_cuda
