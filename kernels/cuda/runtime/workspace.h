// The scratch memory of a context. `bench predict` goes by it too, without CUDA's headers.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// Scratch of the libraries that a context books, where partial sums of a product wait for one another (split-K);
/// NVIDIA's guide to cuBLAS calls for 64 MiB on Hopper and 32 elsewhere. A weight gradient of BERT-Base has 9 MB in
/// each part, of BERT-Large 17.
constexpr int64_t kWorkspaceBytes = 128 << 20;

}  // namespace dropforge::kernels::on_cuda
