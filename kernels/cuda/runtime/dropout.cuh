// Dropout on the device: the bits of base/philox.h with the counters of kernels.h's Dropout, for a pack of columns.
#pragma once

#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::kernels::on_cuda {

constexpr int kPhiloxRounds = 10;

__device__ inline uint4 philox_round(uint4 counter, uint2 key) {
    const unsigned high0 = __umulhi(0xD2511F53u, counter.x), low0 = 0xD2511F53u * counter.x;
    const unsigned high1 = __umulhi(0xCD9E8D57u, counter.z), low1 = 0xCD9E8D57u * counter.z;
    return make_uint4(high1 ^ counter.y ^ key.x, low1, high0 ^ counter.w ^ key.y, low0);
}
__device__ inline uint2 philox_key(uint2 key, unsigned round) {
    return make_uint2(key.x + round * 0x9E3779B9u, key.y + round * 0xBB67AE85u);
}
/// philox4x32 of base/philox.h.
__device__ inline uint4 philox4x32(uint4 counter, uint2 key) {
#pragma unroll
    for (unsigned round = 0; round < kPhiloxRounds; ++round) counter = philox_round(counter, philox_key(key, round));
    return counter;
}

/// A Dropout as a kernel's argument. The state lies in device memory, so that a captured step can be replayed.
struct DropoutArgument {
    DropoutArgument(const Dropout& d, int64_t rows_per_sequence)
        : state(d.state),
          rows_per_sequence(static_cast<uint32_t>(rows_per_sequence)),
          site(d.site),
          threshold(d.threshold()),
          scale(d.scale()) {}
    const uint32_t* state;
    uint32_t rows_per_sequence, site, threshold;
    float scale;
};

/// The draws of one launch, in registers.
class DropoutDraws {
  public:
    __device__ explicit DropoutDraws(const DropoutArgument& d)
        : site_(d.site), threshold_(d.threshold), scale_(d.scale) {
        if (threshold_ == 0) return;
        key_ = make_uint2(d.state[0], d.state[1]);
        step_ = d.state[2];
        first_row_ = d.state[3] * d.rows_per_sequence;  // modulo 2^32, as the counter takes it
    }

    __device__ bool active() const { return threshold_ > 0; }

    /// value[i], which is element (row, column + i), times 0 or scale. column is a multiple of N, a divisor of 8.
    template <int N>
    __device__ void apply(float (&value)[N], int64_t row, int64_t column) const {
        if (threshold_ == 0) return;
        const uint4 words = philox4x32(
            make_uint4(static_cast<unsigned>(column / 8), first_row_ + static_cast<unsigned>(row), site_, step_), key_);
        const auto first = static_cast<unsigned>(column % 8);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const unsigned half = first + static_cast<unsigned>(i), pair = half / 2;
            const unsigned word = pair == 0 ? words.x : pair == 1 ? words.y : pair == 2 ? words.z : words.w;
            const unsigned draw = word >> (16 * (half % 2)) & 0xffffu;
            value[i] = draw < threshold_ ? 0.0f : value[i] * scale_;
        }
    }

  private:
    uint2 key_{};
    unsigned site_, threshold_, step_ = 0, first_row_ = 0;
    float scale_;
};

}  // namespace dropforge::kernels::on_cuda
