// CUDA's built-in variables and functions for kernels compiled by a plain C++ compiler: those that device.cuh and the
// kernels use. They need the toolkit's headers (vector_types.h, cuda_bf16.h, cuda_fp16.h), not its compiler. Elementary
// functions differ from a GPU's in the last places.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_functions.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/cuda/emulator/mock_runtime.h"
#include "kernels/cuda/emulator/simt.h"

#ifndef __launch_bounds__
#define __launch_bounds__(...)
#endif

extern thread_local constinit uint3 threadIdx, blockIdx;
extern thread_local constinit dim3 blockDim, gridDim;

#define DROPFORGE_HERE dropforge::simt::Location where = dropforge::simt::Location::current()

// ------------------------------------------------------------------------------------------------------------ barriers
inline void __syncthreads(DROPFORGE_HERE) { dropforge::simt::block_barrier(false, where); }
inline int __syncthreads_or(int predicate, DROPFORGE_HERE) {
    return dropforge::simt::block_barrier(predicate != 0, where) > 0;
}
inline int __syncthreads_count(int predicate, DROPFORGE_HERE) {
    return dropforge::simt::block_barrier(predicate != 0, where);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, DROPFORGE_HERE) {
    dropforge::simt::exchange(mask, 0, dropforge::simt::WarpOperation::sync, where);
}

// ------------------------------------------------------------------------------------------------- shuffles and votes
namespace dropforge::simt {

template <typename T>
uint64_t to_word(T value) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>);
    uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    return word;
}
template <typename T>
T shuffle_from(unsigned mask, T value, int source, Location where) {
    const uint64_t word = shuffle(mask, to_word(value), source, where);
    std::memcpy(static_cast<void*>(&value), &word, sizeof value);
    return value;
}
/// The lane to read: `source` if it is between the ends of this lane's group of `width` lanes, else the lane itself.
inline int in_group(int source, int width) {
    const int first = lane() & ~(width - 1);
    return source < first || source >= first + width ? lane() : source;
}

}  // namespace dropforge::simt

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, DROPFORGE_HERE) {
    const int group = dropforge::simt::lane() & ~(width - 1);
    return dropforge::simt::shuffle_from(mask, value, group | (source & (width - 1)), where);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, DROPFORGE_HERE) {
    // Lanes of lower groups can be read, those of higher groups cannot.
    const int source = dropforge::simt::lane() ^ bits, last = dropforge::simt::lane() | (width - 1);
    return dropforge::simt::shuffle_from(mask, value, source > last ? dropforge::simt::lane() : source, where);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, DROPFORGE_HERE) {
    const int source = dropforge::simt::lane() + static_cast<int>(delta);
    return dropforge::simt::shuffle_from(mask, value, dropforge::simt::in_group(source, width), where);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, DROPFORGE_HERE) {
    const int source = dropforge::simt::lane() - static_cast<int>(delta);
    return dropforge::simt::shuffle_from(mask, value, dropforge::simt::in_group(source, width), where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, DROPFORGE_HERE) {
    const auto e = dropforge::simt::exchange(mask, predicate != 0, dropforge::simt::WarpOperation::vote, where);
    unsigned votes = 0;
    for (int i = 0; i < dropforge::simt::kWarp; ++i)
        if (e.present >> i & 1) votes |= static_cast<unsigned>(e.values[i]) << i;
    return votes;
}
inline int __any_sync(unsigned mask, int predicate, DROPFORGE_HERE) {
    return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, DROPFORGE_HERE) {
    return __ballot_sync(mask, predicate == 0, where) == 0;
}
template <typename T>
unsigned __match_any_sync(unsigned mask, T value, DROPFORGE_HERE) {
    const uint64_t word = dropforge::simt::to_word(value);
    const auto e = dropforge::simt::exchange(mask, word, dropforge::simt::WarpOperation::match, where);
    unsigned same = 0;
    for (int i = 0; i < dropforge::simt::kWarp; ++i)
        if ((e.present >> i & 1) && e.values[i] == word) same |= 1u << i;
    return same;
}

#undef DROPFORGE_HERE

// ------------------------------------------------------------------------------------------------ memory and numbers
template <typename T>
T __ldg(const T* p) {
    return *p;
}
template <typename T>
T __ldcs(const T* p) {
    return *p;
}
template <typename T>
void __stcs(T* p, T value) {
    *p = value;
}

/// Of 4 or 8 bytes.
template <typename T>
T atomicAdd(T* p, std::type_identity_t<T> value) {
    const uint64_t word = dropforge::simt::load_atomically(p, sizeof(T));
    T before;
    std::memcpy(&before, &word, sizeof before);
    dropforge::simt::store_atomically(p, sizeof(T), dropforge::simt::to_word(static_cast<T>(before + value)));
    return before;
}
inline void __threadfence() { dropforge::simt::thread_fence(); }

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline float __fdividef(float a, float b) { return a / b; }
