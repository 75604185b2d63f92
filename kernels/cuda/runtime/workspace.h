// The size of a context's workspace for libraries. `bench predict` uses it too, without CUDA's headers.
#pragma once

#include <cstdint>

namespace dropforge::kernels::on_cuda {

/// Bytes of a context's workspace, where libraries keep the partial sums of split-K GEMMs. NVIDIA's guide to cuBLAS
/// recommends 64 MiB on Hopper and 32 elsewhere; each partial sum of a weight gradient takes 9 MB in BERT-Base, 17 in
/// BERT-Large.
constexpr int64_t kWorkspaceBytes = 128 << 20;

}  // namespace dropforge::kernels::on_cuda
