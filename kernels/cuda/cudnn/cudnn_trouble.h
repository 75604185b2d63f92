// Versions of cuDNN that are known to be wrong.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cuda/attention/attention_library.h"

namespace dropforge::kernels::on_cuda {

/// What is reported to be wrong with a version of cuDNN (91900: 9.19.0) on a GPU of that compute capability (90: 9.0)
/// for that shape, in spite of the padding mask; empty: nothing.
std::string cudnn_trouble(int64_t version, int compute_capability, const AttentionShape& shape);

}  // namespace dropforge::kernels::on_cuda
