// Known defects of cuDNN's versions.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/cuda/attention/attention_library.h"

namespace dropforge::kernels::on_cuda {

/// The reported defect of attention in this version of cuDNN (91900: 9.19.0) on a GPU of this compute capability
/// (90: 9.0) for this shape with a padding mask; empty: none.
std::string cudnn_trouble(int64_t version, int compute_capability, const AttentionShape& shape);

}  // namespace dropforge::kernels::on_cuda
