// Products with GELU by cuDNN.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/gemm/gelu_library.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

/// Opens cuDNN for the context's GPU; nullptr and why not if that cannot be done. What a context has got must not
/// outlive it.
std::unique_ptr<GeluLibrary> open_cudnn_gelu(CudaContext& context, std::string& why_not);

}  // namespace dropforge::kernels::on_cuda
