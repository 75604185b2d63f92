// The CUDA backend's attention; kernels/kernels.h says what it does. Each function only queues kernels on the context's
// stream, but for the first call of a shape, which selects them.
#pragma once

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// By our own kernels.
void attention_forward(const AttentionForward&, Context&);
void attention_backward(const AttentionBackward&, Context&);
/// The table's: by these or by a library's, as attention_choice.h selects.
void chosen_attention_forward(const AttentionForward&, Context&);
void chosen_attention_backward(const AttentionBackward&, Context&);
/// For a library's dropout: a seed and an offset ([2] i64, not negative), drawn by Philox from the state and the site,
/// so that a recorded step draws anew whenever the state is another.
void draw_attention_seed(const Dropout& dropout, int64_t* seed_and_offset, Context& context);

}  // namespace dropforge::kernels::on_cuda
