// The CUDA backend's interface for programs, without CUDA's headers.
#pragma once

#include <memory>

#include "kernels/cuda/runtime/find_device.h"
#include "kernels/cuda/runtime/options.h"
#include "kernels/kernels.h"

namespace dropforge::kernels {

/// The CUDA backend. CUDA is not initialised before a context is created.
const KernelTable& cuda();
/// The CUDA backend with GEMMs of f32 on TF32 tensor cores (CudaOptions::tf32).
const KernelTable& cuda_tf32();

namespace on_cuda {

/// A context on the GPU of find_cuda_device(); Error if there is none.
std::unique_ptr<Context> create_context(const CudaOptions& options);

}  // namespace on_cuda
}  // namespace dropforge::kernels
