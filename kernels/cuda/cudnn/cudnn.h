// cuDNN, opened at its first use, in programs that were built with its frontend (DROPFORGE_CUDNN).
#pragma once

#include <exception>
#include <memory>
#include <string>

#include "kernels/cuda/runtime/context.h"
#ifdef DROPFORGE_CUDNN
#include "kernels/cuda/cudnn/cudnn_graphs.h"
#endif

namespace dropforge::kernels::on_cuda {

/// The result of `make`; nullptr with the reason in `why_not` if it throws. cudnn-frontend throws exceptions other than
/// Error.
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

/// A handle for calls on the context's stream. Error if there is no cuDNN, or none that can use the GPU.
CudnnHandle open_cudnn(const CudaContext& context);
/// "cuDNN 9.19.0"
std::string cudnn_name();
#endif

}  // namespace dropforge::kernels::on_cuda
