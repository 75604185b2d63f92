// Which attention serves which call.
#include "kernels/cpu/attention.h"

#include "kernels/cpu/functions.h"

namespace dropforge::kernels::on_cpu {

void attention_forward(const AttentionForward& a, Context&) {
    attention_tiled_supports(a.dtype) ? attention_forward_tiled(a) : attention_forward_portable(a);
}

void attention_backward(const AttentionBackward& a, Context&) {
    attention_tiled_supports(a.dtype) ? attention_backward_tiled(a) : attention_backward_portable(a);
}

}  // namespace dropforge::kernels::on_cpu
