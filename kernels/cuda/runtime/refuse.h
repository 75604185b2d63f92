// The errors that kernel files throw. The messages are formatted in refuse.cpp, since nvcc 13 cannot compile fmt.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// Error unless the launch at file:line succeeded; as check() of context.h.
void check_launch(cudaError_t status, const char* file, unsigned line);
/// Throws Error: there are `size` of `what`, and at most `limit` are possible.
[[noreturn]] void refuse_size(const char* what, int64_t size, int64_t limit);

}  // namespace dropforge::kernels::on_cuda
