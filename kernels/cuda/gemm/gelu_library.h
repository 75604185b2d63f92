// Products with GELU in the same kernel, by a library beside cuBLASLt: cuDNN's is in the folder cudnn/.
// gemm_plans_gelu.cpp decides whether they serve.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/cuda/gemm/gemm_problem.h"

namespace dropforge::kernels::on_cuda {

class CudaContext;

class GeluKernel {
  public:
    GeluKernel() = default;
    virtual ~GeluKernel() = default;
    GeluKernel(const GeluKernel&) = delete;
    GeluKernel& operator=(const GeluKernel&) = delete;

    virtual std::string name() const = 0;
    /// All of g, which has the key that the kernel was made for. Queued on the context's stream, with the context's
    /// workspace as scratch; nothing is allocated. Error if the library fails.
    virtual void run(const Gemm& g) = 0;
};

class GeluLibrary {
  public:
    GeluLibrary() = default;
    virtual ~GeluLibrary() = default;
    GeluLibrary(const GeluLibrary&) = delete;
    GeluLibrary& operator=(const GeluLibrary&) = delete;

    /// With its version: "cuDNN 9.19.0".
    virtual std::string name() const = 0;
    virtual int64_t version() const = 0;
    /// The library's n-th proposal for products of 16-bit numbers with GELU, from 0, the most promising: the same one
    /// whenever it is asked for on the same GPU. nullptr and why not if there is none, or it will not do.
    virtual std::unique_ptr<GeluKernel> kernel(const GemmKey& key, int64_t n, std::string& why_not) = 0;
};

/// Opens the library for the context's GPU; nullptr and why not if that cannot be done. What a context has got must not
/// outlive it.
std::unique_ptr<GeluLibrary> open_gelu_library(CudaContext& context, std::string& why_not);

}  // namespace dropforge::kernels::on_cuda
