// A vector of f32 of the level's width (AVX-512, AVX2, else 128 bits) by the compilers' vector extensions, and loads
// and stores that convert from f32 or bf16 storage. Loops over the columns of a row use for_columns, which never
// accesses memory past the row.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/cpu/intrinsics.h"
#include "kernels/dtype.h"

namespace dropforge::kernels::on_cpu {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define DROPFORGE_AVX512 1
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
#define DROPFORGE_AVX2 1
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif
#if DROPFORGE_AVX512 && defined(__AVX512BF16__)
#define DROPFORGE_DOT_BF16 1
#endif
#if DROPFORGE_DOT_BF16 && defined(__AMX_BF16__)
#define DROPFORGE_AMX 1
#endif

using f32v = float __attribute__((vector_size(4 * kLanes)));
using i32v = int32_t __attribute__((vector_size(4 * kLanes)));
using u32v = uint32_t __attribute__((vector_size(4 * kLanes)));
using u16v = uint16_t __attribute__((vector_size(2 * kLanes)));
using u64v = uint64_t __attribute__((vector_size(4 * kLanes)));  // half as many, as wide
using f64v = double __attribute__((vector_size(4 * kLanes)));    // likewise
using f32half = float __attribute__((vector_size(2 * kLanes)));  // half of an f32v

inline f32v broadcast(float x) { return x - f32v{}; }  // x + 0 would be an instruction: it turns -0 into 0
inline f32v max(f32v a, f32v b) { return a > b ? a : b; }

/// x within low … high; NaN stays NaN.
inline f32v clamp(f32v x, float low, float high) {
#if DROPFORGE_AVX512  // min and max return their second operand if one is NaN
    const __m512 below = _mm512_maskz_min_ps(0xffff, _mm512_set1_ps(high), std::bit_cast<__m512>(x));
    return std::bit_cast<f32v>(_mm512_maskz_max_ps(0xffff, _mm512_set1_ps(low), below));
#else
    x = x > high ? broadcast(high) : x;
    return x < low ? broadcast(low) : x;
#endif
}
/// y 2^n for integers n of at most 1000 in size: 0, subnormal or infinite where no normal number is near.
inline f32v times_power_of_2(f32v y, f32v n) {
#if DROPFORGE_AVX512
    return std::bit_cast<f32v>(_mm512_maskz_scalef_ps(0xffff, std::bit_cast<__m512>(y), std::bit_cast<__m512>(n)));
#else
    // In two factors: their product may be subnormal or overflow, though no factor does.
    const i32v exponent = __builtin_convertvector(n, i32v);
    const i32v half = exponent >> 1;
    return y * std::bit_cast<f32v>((half + 127) << 23) * std::bit_cast<f32v>((exponent - half + 127) << 23);
#endif
}
/// 1 / x to 1.5 units in the last place, for x from 2^-100 to 2^100.
inline f32v reciprocal(f32v x) {
#if DROPFORGE_AVX512  // 14 bits, then one of Newton's steps: a third of a division's time
    const f32v y = std::bit_cast<f32v>(_mm512_maskz_rcp14_ps(0xffff, std::bit_cast<__m512>(x)));
    return y + y * (1.0f - x * y);
#else
    return 1.0f / x;
#endif
}
inline f32v abs(f32v x) { return std::bit_cast<f32v>(std::bit_cast<u32v>(x) & 0x7fffffffu); }

/// A rounded product that the compiler must not fuse into an addition, where that would break a cancellation.
inline f32v unfused(f32v product) {
#if defined(__x86_64__)
    asm("" : "+v"(product));
#else
    asm("" : "+m"(product));
#endif
    return product;
}

struct DoubleHalves {
    f64v low, high;
};
inline DoubleHalves in_double(f32v x) {
    struct Halves {
        f32half low, high;
    };
    const auto [low, high] = std::bit_cast<Halves>(x);
    return {__builtin_convertvector(low, f64v), __builtin_convertvector(high, f64v)};
}

inline i32v iota() {
    i32v lanes{};
    for (int i = 0; i < kLanes; ++i) lanes[i] = i;
    return lanes;
}

// ----------------------------------------------------------------------------------------- how much of a vector counts
/// All lanes; a size known to the compiler.
struct Full {
    static constexpr int count = kLanes;
};
/// The first `count` lanes, 0 … kLanes: the end of a row.
struct Part {
    int count;
};
/// The first n lanes; n may be below 0 or above kLanes.
inline Part first_lanes(int64_t n) { return {static_cast<int>(std::clamp<int64_t>(n, 0, kLanes))}; }

/// Calls f(column, Full{}) for every whole vector of columns 0 … n-1 in order, then f(column, Part{rest}) if some are
/// left.
template <typename F>
inline void for_columns(int64_t n, F&& f) {
    int64_t j = 0;
    for (; j + kLanes <= n; j += kLanes) f(j, Full{});
    if (j < n) f(j, Part{static_cast<int>(n - j)});
}

/// x in the lanes that count, `other` in the others.
inline f32v select(Full, f32v x, f32v) { return x; }
inline f32v select(Part part, f32v x, f32v other) { return iota() < part.count ? x : other; }
inline f32v only(Full, f32v x) { return x; }
inline f32v only(Part part, f32v x) { return select(part, x, f32v{}); }

// ------------------------------------------------------------------------------------------------------- f32 in memory
inline f32v load(const float* p, Full = {}) {
    f32v x;
    std::memcpy(&x, p, sizeof x);
    return x;
}
inline void store(float* p, f32v x, Full = {}) { std::memcpy(p, &x, sizeof x); }

/// Stores to a multiple of the vector's size, past the caches; sfence() must follow before another thread reads it.
inline void stream(float* p, f32v x, Full) {
#if DROPFORGE_AVX512
    _mm512_stream_ps(p, std::bit_cast<__m512>(x));
#elif DROPFORGE_AVX2
    _mm256_stream_ps(p, std::bit_cast<__m256>(x));
#elif defined(__x86_64__)
    _mm_stream_ps(p, std::bit_cast<__m128>(x));
#else
    store(p, x);
#endif
}
inline void sfence() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/// Lanes that do not count are 0.
inline f32v load(const float* p, Part part) {
#if DROPFORGE_AVX512
    return std::bit_cast<f32v>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << part.count) - 1), p));
#elif DROPFORGE_AVX2
    return std::bit_cast<f32v>(_mm256_maskload_ps(p, std::bit_cast<__m256i>(iota() < part.count)));
#else
    f32v x{};
    for (int i = 0; i < part.count; ++i) x[i] = p[i];
    return x;
#endif
}
inline void store(float* p, f32v x, Part part) {
#if DROPFORGE_AVX512
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << part.count) - 1), std::bit_cast<__m512>(x));
#elif DROPFORGE_AVX2
    _mm256_maskstore_ps(p, std::bit_cast<__m256i>(iota() < part.count), std::bit_cast<__m256>(x));
#else
    for (int i = 0; i < part.count; ++i) p[i] = x[i];
#endif
}

// ------------------------------------------------------------------------------------------------------ bf16 in memory
inline f32v widen(u16v bits) {
#if DROPFORGE_AVX512
    const u32v words = std::bit_cast<u32v>(_mm512_maskz_cvtepu16_epi32(0xffff, std::bit_cast<__m256i>(bits)));
#elif DROPFORGE_AVX2
    const u32v words = std::bit_cast<u32v>(_mm256_cvtepu16_epi32(std::bit_cast<__m128i>(bits)));
#else
    const u32v words = __builtin_convertvector(bits, u32v);
#endif
    return std::bit_cast<f32v>(words << 16);
}
/// Rounded to nearest even, bit for bit as by bf16(float).
inline u16v narrow_exactly(f32v x) {
    const u32v word = std::bit_cast<u32v>(x);
    const u32v rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
    const u32v quiet = (word >> 16) | 0x40u;
    return __builtin_convertvector((word & 0x7fffffffu) > 0x7f800000u ? quiet : rounded, u16v);
}
/// Rounds in one instruction where the level has it, which flushes subnormal numbers to 0.
inline u16v narrow(f32v x) {
#if DROPFORGE_DOT_BF16
    return std::bit_cast<u16v>(_mm512_cvtneps_pbh(std::bit_cast<__m512>(x)));
#else
    return narrow_exactly(x);
#endif
}

inline u16v load_bits(const bf16* p, Full) {
    u16v bits;
    std::memcpy(&bits, p, sizeof bits);
    return bits;
}
inline u16v load_bits(const bf16* p, Part part) {
#if DROPFORGE_AVX512
    return std::bit_cast<u16v>(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << part.count) - 1), p));
#else
    u16v bits{};
    for (int i = 0; i < part.count; ++i) bits[i] = p[i].bits;
    return bits;
#endif
}
template <typename Count = Full>
inline f32v load(const bf16* p, Count count = {}) {
    return widen(load_bits(p, count));
}
inline void store_bits(bf16* p, u16v bits, Full) { std::memcpy(static_cast<void*>(p), &bits, sizeof bits); }
inline void store_bits(bf16* p, u16v bits, Part part) {
#if DROPFORGE_AVX512
    _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << part.count) - 1), std::bit_cast<__m256i>(bits));
#else
    for (int i = 0; i < part.count; ++i) p[i].bits = bits[i];
#endif
}
template <typename Count = Full>
inline void store(bf16* p, f32v x, Count count = {}) {
    store_bits(p, narrow(x), count);
}
inline void stream(bf16* p, f32v x, Full) {
    const u16v bits = narrow(x);
#if DROPFORGE_AVX512
    _mm256_stream_si256(reinterpret_cast<__m256i*>(p), std::bit_cast<__m256i>(bits));
#elif DROPFORGE_AVX2
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), std::bit_cast<__m128i>(bits));
#else
    store_bits(p, bits, Full{});
#endif
}
/// Stores subnormal numbers too: for values that are kept and compared, such as weights.
template <typename Count>
inline void store_exactly(bf16* p, f32v x, Count count) {
    store_bits(p, narrow_exactly(x), count);
}
template <typename Count>
inline void store_exactly(float* p, f32v x, Count count) {
    store(p, x, count);
}
template <typename T>
inline void stream(T* p, f32v x, Part part) {
    store(p, x, part);
}

// ---------------------------------------------------------------------------------------------------------- reductions
/// Lane i of the result is lane i ^ kDistance.
template <int kDistance, int... kLane>
inline f32v swap_lanes(f32v x, std::integer_sequence<int, kLane...>) {
    return __builtin_shufflevector(x, x, (kLane ^ kDistance)...);
}
template <typename Combine>
inline float reduce(f32v x, Combine&& combine) {
    constexpr std::make_integer_sequence<int, kLanes> lanes;
    if constexpr (kLanes > 8) x = combine(x, swap_lanes<8>(x, lanes));
    if constexpr (kLanes > 4) x = combine(x, swap_lanes<4>(x, lanes));
    x = combine(x, swap_lanes<2>(x, lanes));
    return combine(x, swap_lanes<1>(x, lanes))[0];
}
/// Sum of all lanes, always in the same order.
inline float sum(f32v x) {
    return reduce(x, [](f32v a, f32v b) { return a + b; });
}
/// Sum of all lanes in double, for sums that scale every element of a row.
inline double double_sum(f32v x) {
    const auto [low, high] = in_double(x);
    const f64v lanes = low + high;
    double total = 0;
    for (int i = 0; i < kLanes / 2; ++i) total += lanes[i];
    return total;
}
/// Largest lane; unspecified with a NaN.
inline float largest(f32v x) {
    return reduce(x, [](f32v a, f32v b) { return max(a, b); });
}

inline f32v sqrt(f32v x) {
#if DROPFORGE_AVX512
    return std::bit_cast<f32v>(_mm512_maskz_sqrt_ps(0xffff, std::bit_cast<__m512>(x)));
#elif DROPFORGE_AVX2
    return std::bit_cast<f32v>(_mm256_sqrt_ps(std::bit_cast<__m256>(x)));
#else
    for (int i = 0; i < kLanes; ++i) x[i] = std::sqrt(x[i]);
    return x;
#endif
}

}  // namespace dropforge::kernels::on_cpu
