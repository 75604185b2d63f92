// Instructions that CUDA C++ does not expose: tensor cores, matrix loads from shared memory, asynchronous copies, byte
// permutation, fast powers of two. Each is inline PTX for nvcc and a portable equivalent for the emulator
// (kernels/cuda/emulator); tests/cuda/cuda_device_test.cpp compares them with loops.
//
// Matrices are those of mma.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16"). With g = lane / 4, t = lane % 4 a
// lane holds, in pairs of elements of 16 bits (the lower column or k in the lower half),
//     a [16, 16]: pair t of row g, pair t of row g + 8, pair 4 + t of row g, pair 4 + t of row g + 8
//     b [16, 8]:  of column g the pairs t and 4 + t
//     c [16, 8]:  in f32, columns 2t and 2t + 1 of row g, then of row g + 8
// so that two neighbouring c, rounded, are an a: multiplications can be chained without leaving the registers.
#pragma once

#include "kernels/cuda/runtime/device.cuh"

#if !defined(__CUDACC__)
#include "kernels/cuda/emulator/mma.h"
#endif

// Code for compute capability 7.5, which has no bf16 and no asynchronous copies.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define DROPFORGE_BEFORE_AMPERE 1
#else
#define DROPFORGE_BEFORE_AMPERE 0
#endif

namespace dropforge::kernels::on_cuda {

/// The address in the shared state space, as PTX's shared memory instructions take it.
#if defined(__CUDACC__)
__device__ inline unsigned shared_address(const void* p) { return static_cast<unsigned>(__cvta_generic_to_shared(p)); }
#endif

/// c += a · b. Compute capability 7.5 has only m16n8k8, for fp16; the host launches no bf16 kernel there.
template <typename T>
__device__ inline void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if !defined(__CUDACC__)
    simt::multiply_add<T>(c, a, b0, b1);
#elif DROPFORGE_BEFORE_AMPERE
    if constexpr (std::is_same_v<T, __half>) {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(b0));
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[2]), "r"(a[3]), "r"(b1));
    } else {
        __trap();
    }
#else
    if constexpr (std::is_same_v<T, __half>)
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/// Four matrices [8, 8] from shared memory: lane 8·i + r names row r (16 bytes) of matrix i, and gets pair t of row g
/// of each.
template <typename T>
__device__ inline void load_matrices(unsigned (&to)[4], const T* row) {
#if !defined(__CUDACC__)
    simt::load_matrices<false>(to, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}
/// As above, transposed: each lane gets elements 2t and 2t + 1 of column g.
template <typename T>
__device__ inline void load_transposed(unsigned (&to)[4], const T* row) {
#if !defined(__CUDACC__)
    simt::load_matrices<true>(to, row);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

/// Begins a copy of 16 bytes from device to shared memory, or of zeros unless `valid` (`from` may then be any address).
/// They have arrived after wait_for_copies and, for other threads, a barrier.
__device__ inline void copy_pack(void* to, const void* from, bool valid) {
#if !defined(__CUDACC__)
    simt::copy_later(to, valid ? from : nullptr, 16);
#elif DROPFORGE_BEFORE_AMPERE  // nothing asynchronous before compute capability 8.0
    *static_cast<uint4*>(to) = valid ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
                 : "memory");
#endif
}
/// Makes the copies since the last call one group.
__device__ inline void end_copy_group() {
#if !defined(__CUDACC__)
    simt::end_copy_group();
#elif !DROPFORGE_BEFORE_AMPERE
    asm volatile("cp.async.commit_group;" : : : "memory");
#endif
}
/// Waits until all groups of this thread but the last kPending have arrived.
template <int kPending>
__device__ inline void wait_for_copies() {
#if !defined(__CUDACC__)
    simt::wait_for_copies(kPending);
#elif !DROPFORGE_BEFORE_AMPERE
    asm volatile("cp.async.wait_group %0;" : : "n"(kPending) : "memory");
#endif
}

/// A word whose byte i repeats the highest bit of byte (selector >> 4·i & 7) of the eight bytes low, high.
__device__ inline unsigned spread_signs(unsigned low, unsigned high, unsigned selector) {
#if !defined(__CUDACC__)
    return simt::spread_signs(low, high, selector);
#else
    unsigned result;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "r"(selector | 0x8888u));
    return result;
#endif
}

/// 2^x in one instruction: two units in the last place, and 0 below 2^-126.
__device__ inline float fast_exp2(float x) {
#if !defined(__CUDACC__)
    return std::exp2(x);
#else
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#endif
}

/// Two numbers rounded to 16 bits, in one word: the first in the lower half.
template <typename T>
__device__ inline unsigned pair_of(float low, float high) {
    const float both[2] = {low, high};
    const Pack<T, 2> pack = rounded<2, T>(both);
    return *reinterpret_cast<const unsigned*>(&pack);
}

}  // namespace dropforge::kernels::on_cuda
