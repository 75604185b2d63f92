// The hot first step of tokenizing: copies a run of ASCII letters and digits, 16 bytes at a time, in lower case and
// padded with zeros.
#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <bit>
#include <cstdint>

namespace dropforge::data {

constexpr unsigned kRunBytes = 16;

/// The number n ≤ 16 of letters and digits at the start of p (16 readable bytes). out (16 bytes) gets these n, A-Z as
/// a-z if `lower`, then zeros.
inline unsigned ascii_run_scalar(const char* p, bool lower, char* out) {
    unsigned n = 0;
    for (; n < kRunBytes; ++n) {
        const char folded = static_cast<char>(p[n] | 0x20);
        const bool letter = folded >= 'a' && folded <= 'z', digit = p[n] >= '0' && p[n] <= '9';
        if (!letter && !digit) break;
        out[n] = lower ? folded : p[n];  // digits have bit 0x20 already
    }
    for (unsigned i = n; i < kRunBytes; ++i) out[i] = 0;
    return n;
}

inline unsigned ascii_run(const char* p, bool lower, char* out) {
#ifdef __SSE2__
    alignas(16) static constexpr int8_t kKeep[2 * kRunBytes] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                                -1, -1, -1, -1, -1, -1, -1, -1};
    // Bytes ≥ 0x80 are negative here, so the signed comparisons drop them.
    const auto between = [](__m128i v, char first, char last) {
        return _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8(static_cast<char>(first - 1))),
                             _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(last + 1)), v));
    };
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i folded = _mm_or_si128(text, _mm_set1_epi8(0x20));
    const __m128i in_run = _mm_or_si128(between(folded, 'a', 'z'), between(text, '0', '9'));
    const auto stops = ~static_cast<uint32_t>(_mm_movemask_epi8(in_run));  // bit 16 is set: n ≤ 16
    const auto n = static_cast<unsigned>(std::countr_zero(stops));
    const __m128i keep = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kKeep + kRunBytes - n));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_and_si128(lower ? folded : text, keep));
    return n;
#else
    return ascii_run_scalar(p, lower, out);
#endif
}

}  // namespace dropforge::data
