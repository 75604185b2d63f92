// Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3"), a counter-based generator: any
// draw of a run is a function of its coordinates. Used for dropout, masking, sample order and initial weights.
#pragma once

#include <array>
#include <cstdint>

namespace dropforge {

using Philox4 = std::array<uint32_t, 4>;

/// Four independent uniform 32-bit words for one counter under one key.
constexpr Philox4 philox4x32(Philox4 counter, uint64_t key) {
    auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t{0xD2511F53} * counter[0], b = uint64_t{0xCD9E8D57} * counter[2];
        counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(b),
                   static_cast<uint32_t>(a >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(a)};
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    return counter;
}

/// A sequence of draws from one (key, stream): word i is word i%4 of the block with counter {i/4, stream}.
class PhiloxStream {
  public:
    PhiloxStream(uint64_t key, uint64_t stream, uint32_t substream = 0)
        : key_(key), stream_(stream), substream_(substream) {}

    uint32_t next() {
        if (used_ == 4) {
            block_ = philox4x32(
                {counter_++, substream_, static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)}, key_);
            used_ = 0;
        }
        return block_[used_++];
    }
    /// Uniform in [0, n), n ≥ 1; unbiased (Lemire 2019).
    uint32_t below(uint32_t n) {
        uint64_t product = uint64_t{next()} * n;
        if (static_cast<uint32_t>(product) < n) {
            const uint32_t threshold = -n % n;
            while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next()} * n;
        }
        return static_cast<uint32_t>(product >> 32);
    }
    /// Uniform in [0, 1).
    double uniform() { return next() * 0x1p-32; }

  private:
    uint64_t key_, stream_;
    uint32_t substream_, counter_ = 0;
    int used_ = 4;
    Philox4 block_{};
};

}  // namespace dropforge
