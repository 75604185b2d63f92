// cuDNN, opened at its first use, where the program was built with it (DROPFORGE_CUDNN).
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "kernels/cuda/runtime/context.h"
#ifdef DROPFORGE_CUDNN
#include "kernels/cuda/cudnn/cudnn_graphs.h"
#endif

namespace dropforge::kernels::on_cuda {

/// What `make` makes of cuDNN; nullptr and why not if it throws: its frontend's exceptions are no Error.
template <typename Make>
auto made_by_cudnn(std::string& why_not, const Make& make) -> decltype(make()) {
    try {
        return make();
    } catch (const std::exception& e) {
        why_not = e.what();
        return nullptr;
    }
}

#ifdef DROPFORGE_CUDNN

/// For calls on the context's stream. Error if there is no cuDNN, or none that can use the GPU.
CudnnHandle open_cudnn(const CudaContext& context);
/// "cuDNN 9.19.0"
std::string cudnn_name();
#endif

}  // namespace dropforge::kernels::on_cuda
