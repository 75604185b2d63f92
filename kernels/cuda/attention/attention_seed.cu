// The seed of a library's dropout, drawn from the state of Dropout.
#include "kernels/cuda/attention/functions.h"
#include "kernels/cuda/runtime/dropout.cuh"

namespace dropforge::kernels::on_cuda {

/// One thread: its cost is latency only, some 2 µs before a kernel of tens.
__global__ void __launch_bounds__(1)
    attention_seed_kernel(const uint32_t* state, uint32_t site, int64_t* seed_and_offset) {
    const uint4 words = philox4x32(make_uint4(state[2], state[3], site, 0x5eedu), make_uint2(state[0], state[1]));
    constexpr uint32_t kPositive = 0x7fffffffu;
    seed_and_offset[0] = static_cast<int64_t>(words.x & kPositive) << 32 | words.y;
    // Separate ranges of counters, in case the library uses so few bits of the seed that two are equal.
    seed_and_offset[1] = static_cast<int64_t>(words.z) << 8;
}

void draw_attention_seed(const Dropout& dropout, int64_t* seed_and_offset, Context& context) {
    launch(attention_seed_kernel, context, {1, 1}, dropout.state, dropout.site, seed_and_offset);
}

}  // namespace dropforge::kernels::on_cuda
