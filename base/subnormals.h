// Flushing of subnormal numbers, below 2^-126: processors may take a hundred times as long for them, and training makes
// them where gradients vanish.
#pragma once

#if defined(__SSE__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace dropforge {

/// Sets the mode in which floating-point arithmetic of this thread, and of threads that it creates, takes subnormal
/// operands and results for 0. Does nothing where the processor has no such mode.
inline void flush_subnormals() {
#if defined(__SSE__)
    constexpr unsigned kToZero = 1u << 15, kAreZero = 1u << 6;  // results, operands
    _mm_setcsr(_mm_getcsr() | kToZero | kAreZero);
#elif defined(__aarch64__)
    constexpr uint64_t kToZero = uint64_t{1} << 24;  // both
    uint64_t mode = 0;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    asm volatile("msr fpcr, %0" : : "r"(mode | kToZero));
#endif
}

}  // namespace dropforge
