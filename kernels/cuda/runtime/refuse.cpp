#include "kernels/cuda/runtime/refuse.h"

#include "base/error.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

void check_launch(cudaError_t status, const char* file, unsigned line) {
    if (status != cudaSuccess) check(status, fmt::format("launch a kernel ({}:{})", file, line).c_str());
}

void refuse_size(const char* what, int64_t size, int64_t limit) {
    throw Error("{} {}: the CUDA backend takes at most {}", size, what, limit);
}

}  // namespace dropforge::kernels::on_cuda
