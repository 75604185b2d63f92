// Dropout's bits for 64 columns at a time: vectorised Philox4x32-10 with the counters of kernels.h's Dropout; the bits
// are those of base/philox.h.
#pragma once

#include "base/philox.h"
#include "kernels/cpu/dtype.h"
#include "kernels/cpu/simd.h"
#include "kernels/kernels.h"

namespace dropforge::kernels::on_cpu {

/// The masks of one dropout in one call. Construct it once in each thread: the constructor computes the key schedule.
class DropoutMask {
  public:
    /// Rows of the call start at row state[3] * rows_per_sequence of the step's global batch.
    DropoutMask(const Dropout& dropout, int64_t rows_per_sequence)
        : threshold_(dropout.threshold()), site_(dropout.site), scale_(dropout.scale()) {
        if (!dropout.active()) return;
        key_[0] = dropout.state[0];
        key_[1] = dropout.state[1];
        step_ = dropout.state[2];
        first_row_ = static_cast<uint32_t>(dropout.state[3] * static_cast<uint64_t>(rows_per_sequence));
        for (uint32_t i = 0; i < kRounds; ++i) {
            keys_[i][0] = key_[0] + i * kWeyl0;
            keys_[i][1] = key_[1] + i * kWeyl1;
        }
    }

    /// Bit i is set if column 64 * block + i of row `row` of the call is kept.
    uint64_t bits(int64_t row, int64_t block) const;
    /// bits() of blocks 0 … (columns + 63) / 64 - 1.
    void fill(int64_t row, int64_t columns, uint64_t* words) const {
        for (int64_t block = 0; block * 64 < columns; ++block) words[block] = bits(row, block);
    }
    float scale() const { return scale_; }

  private:
    static constexpr uint32_t kRounds = 10, kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

#if DROPFORGE_AVX512 || DROPFORGE_AVX2
    // Half-words 0 … 3 and 4 … 7 of kLanes / 2 consecutive Philox blocks, one block per 64-bit lane.
    struct Draws {
        u64v first, second;
    };
    Draws draw(int64_t row, int64_t philox_block) const;
#endif

    uint32_t threshold_, site_, step_ = 0, first_row_ = 0;
    float scale_;
    uint32_t key_[2] = {};
    uint64_t keys_[kRounds][2] = {};
};

/// x * scale in the lanes whose bit of `bits` is set, bit 0 being lane 0's; 0 in the others.
inline f32v keep(f32v x, uint64_t bits, float scale) {
#if DROPFORGE_AVX512
    return std::bit_cast<f32v>(
        _mm512_maskz_mul_ps(static_cast<__mmask16>(bits), std::bit_cast<__m512>(x), _mm512_set1_ps(scale)));
#else
    const u32v lane = (u32v{} + 1u) << std::bit_cast<u32v>(iota());
    return (lane & static_cast<uint32_t>(bits)) != 0u ? x * scale : f32v{};
#endif
}

/// Applies a mask along one row: columns must come in ascending order from 0, kLanes apart.
class DropoutRow {
  public:
    DropoutRow(const DropoutMask& mask, int64_t row) : mask_(mask), row_(row) {}

    f32v operator()(f32v x, int64_t column) {
        if (column % 64 == 0) bits_ = mask_.bits(row_, column / 64);
        const f32v y = keep(x, bits_, mask_.scale());
        bits_ >>= kLanes;
        return y;
    }

  private:
    const DropoutMask& mask_;
    int64_t row_;
    uint64_t bits_ = 0;
};
/// Takes the place of DropoutRow where dropout is off.
struct NoDropoutRow {
    NoDropoutRow(const DropoutMask&, int64_t) {}
    f32v operator()(f32v x, int64_t) const { return x; }
};

/// Calls f<storage type, DropoutRow or NoDropoutRow>().
template <typename F>
inline void with_dropout_row(DType dtype, const Dropout& dropout, F&& f) {
    with_cpu_type(dtype, [&](auto type) {
        using T = decltype(type);
        if (dropout.active())
            f.template operator()<T, DropoutRow>();
        else
            f.template operator()<T, NoDropoutRow>();
    });
}

// -------------------------------------------------------------------------------------------------------------- Philox
#if DROPFORGE_AVX512 || DROPFORGE_AVX2
/// Products of the low 32 bits of each lane.
inline u64v multiply_low(u64v a, uint64_t b) {
#if DROPFORGE_AVX512
    return std::bit_cast<u64v>(
        _mm512_maskz_mul_epu32(0xff, std::bit_cast<__m512i>(a), _mm512_set1_epi64(static_cast<long long>(b))));
#else
    return std::bit_cast<u64v>(
        _mm256_mul_epu32(std::bit_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<long long>(b))));
#endif
}

inline DropoutMask::Draws DropoutMask::draw(int64_t row, int64_t philox_block) const {
    // A word is in the low half of its lane; the high half is never read.
    u64v c0{}, c1 = u64v{} + static_cast<uint64_t>(first_row_ + static_cast<uint32_t>(row)),
               c2 = u64v{} + uint64_t{site_}, c3 = u64v{} + uint64_t{step_};
    for (int i = 0; i < kLanes / 2; ++i) c0[i] = static_cast<uint64_t>(i);
    c0 += static_cast<uint64_t>(philox_block);
#pragma GCC unroll 10
    for (uint32_t round = 0; round < kRounds; ++round) {
        const u64v a = multiply_low(c0, 0xD2511F53), b = multiply_low(c2, 0xCD9E8D57);
        c0 = (b >> 32) ^ c1 ^ keys_[round][0];
        c2 = (a >> 32) ^ c3 ^ keys_[round][1];
        c1 = b;
        c3 = a;
    }
    return {(c0 & 0xffffffffu) | (c1 << 32), (c2 & 0xffffffffu) | (c3 << 32)};
}
#endif

inline uint64_t DropoutMask::bits(int64_t row, int64_t block) const {
#if DROPFORGE_AVX512
    const Draws draws = draw(row, block * 8);
    const __m512i threshold = _mm512_set1_epi16(static_cast<short>(threshold_));
    const uint64_t first = _mm512_cmpge_epu16_mask(std::bit_cast<__m512i>(draws.first), threshold);
    const uint64_t second = _mm512_cmpge_epu16_mask(std::bit_cast<__m512i>(draws.second), threshold);
    return _pdep_u64(first, 0x0f0f0f0f0f0f0f0f) | _pdep_u64(second, 0xf0f0f0f0f0f0f0f0);
#elif DROPFORGE_AVX2
    const __m256i threshold = _mm256_set1_epi16(static_cast<short>(threshold_));
    uint64_t word = 0;
    for (int half = 0; half < 2; ++half) {
        const Draws draws = draw(row, block * 8 + half * 4);
        const auto a = std::bit_cast<__m256i>(draws.first), b = std::bit_cast<__m256i>(draws.second);
        const __m256i even = _mm256_unpacklo_epi64(a, b), odd = _mm256_unpackhi_epi64(a, b);  // blocks 0 and 2, 1 and 3
        const __m256i kept =
            _mm256_packs_epi16(_mm256_cmpeq_epi16(_mm256_max_epu16(even, threshold), even),
                               _mm256_cmpeq_epi16(_mm256_max_epu16(odd, threshold), odd));  // bytes in column order
        word |= uint64_t{static_cast<uint32_t>(_mm256_movemask_epi8(kept))} << (32 * half);
    }
    return word;
#else
    const uint64_t key = uint64_t{key_[1]} << 32 | key_[0];
    uint64_t word = 0;
    for (uint32_t i = 0; i < 8; ++i) {
        const Philox4 draws = philox4x32(
            {static_cast<uint32_t>(block * 8) + i, first_row_ + static_cast<uint32_t>(row), site_, step_}, key);
        for (uint32_t j = 0; j < 8; ++j)
            word |= uint64_t{(draws[j / 2] >> (j % 2 * 16) & 0xffffu) >= threshold_} << (8 * i + j);
    }
    return word;
#endif
}

}  // namespace dropforge::kernels::on_cpu
