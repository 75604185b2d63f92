// What programs need of the CUDA backend, without CUDA's headers.
#pragma once

#include <memory>

#include "kernels/cuda/runtime/find_device.h"
#include "kernels/cuda/runtime/options.h"
#include "kernels/kernels.h"

namespace dropforge::kernels {

/// Operations that are not written yet are nullptr. Nothing of CUDA is touched before a context is made.
const KernelTable& cuda();
/// The same, but its contexts make f32 products by TF32 tensor cores (CudaOptions::tf32).
const KernelTable& cuda_tf32();

namespace on_cuda {

/// A context on the GPU of find_cuda_device(); Error if there is none.
std::unique_ptr<Context> create_context(const CudaOptions& options);

}  // namespace on_cuda
}  // namespace dropforge::kernels
