// Attention by cuDNN.
#pragma once

#include <memory>
#include <string>

#include "kernels/cuda/attention/attention_library.h"
#include "kernels/cuda/runtime/context.h"

namespace dropforge::kernels::on_cuda {

/// Opens cuDNN for the context's GPU; nullptr and why not if that cannot be done. What a context has got must not
/// outlive it.
std::unique_ptr<AttentionLibrary> open_cudnn_attention(CudaContext& context, std::string& why_not);

/// What is reported to be wrong with a version of cuDNN (91900: 9.19.0) on a GPU of that compute capability (90: 9.0)
/// for that shape, in spite of the padding mask; empty: nothing.
std::string cudnn_trouble(int64_t version, int compute_capability, const AttentionShape& shape);

}  // namespace dropforge::kernels::on_cuda
