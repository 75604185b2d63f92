// cuDNN, opened at its first use. Included where DROPFORGE_CUDNN is defined.
#pragma once

#include <string>

#include "kernels/cuda/context.h"
#include "kernels/cuda/cudnn_graphs.h"

namespace dropforge::kernels::on_cuda {

/// For calls on the context's stream. Error if there is no cuDNN, or none that can use the GPU.
CudnnHandle open_cudnn(const CudaContext& context);
/// "cuDNN 9.19.0"
std::string cudnn_name();

}  // namespace dropforge::kernels::on_cuda
