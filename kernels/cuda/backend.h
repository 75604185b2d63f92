// What programs may say to the CUDA backend beyond kernels.h, and ask of it; without CUDA's headers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/find_device.h"

namespace dropforge::kernels::on_cuda {

struct CudaOptions {
    /// f32 products by TF32 tensor cores: faster by far, operands rounded to 10 bits of fraction.
    bool tf32 = false;
};
/// A context on that GPU; Error if there is none. The table's create_context does this with the default options.
std::unique_ptr<Context> create_context(const CudaOptions& options);

/// How the products of one shape are made: for a table at the start of a run.
struct GemmChoice {
    std::string product;      // "bf16 128x768x768 NT ldc 768 bias"
    std::string algorithm;    // "cublasLt 66 tile 20 stages 35 split-K 1", or "own kernel"
    std::string origin;       // "timed", "stored", "first proposal", "the only one"
    double microseconds = 0;  // 0: not timed
};
/// Those of a context of cuda(), in no special order.
std::vector<GemmChoice> gemm_choices(const Context& context);
/// Version of the cuBLASLt that serves it, 130100: 13.1.0; 0 before the first product.
int64_t gemm_library_version(const Context& context);

}  // namespace dropforge::kernels::on_cuda
