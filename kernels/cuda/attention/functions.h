// The CUDA backend's attention; kernels/kernels.h says what it computes. A call queues kernels on the context's stream;
// the first call of a shape also selects them.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// Attention by our own kernels.
void attention_forward(const AttentionForward&, Context&);
void attention_backward(const AttentionBackward&, Context&);
/// Attention by our own kernels or a library's, as attention_choice.h selects: the KernelTable's functions.
void chosen_attention_forward(const AttentionForward&, Context&);
void chosen_attention_backward(const AttentionBackward&, Context&);
/// Draws a seed and an offset ([2] i64, not negative) for a library's dropout by Philox from the state and the site, on
/// the device, so that a recorded step draws other ones whenever the state has changed.
void draw_attention_seed(const Dropout& dropout, int64_t* seed_and_offset, Context& context);

}  // namespace dropforge::kernels::on_cuda
