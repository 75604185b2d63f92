// Shared by all kernel files: a launch call for both nvcc and the emulator (kernels/cuda/emulator), 16-byte access,
// conversion of storage types, reductions in a fixed order.
//
// A kernel file is CUDA C++ that a plain C++ compiler takes as well (docs/gpu-without-a-gpu.md): shared memory by
// DROPFORGE_SHARED, launches by launch(), warp functions in their _sync forms, inline assembly in mma.cuh and
// store_16() only, each with an equivalent in C++. Compilers must not contract multiplications and additions
// (-fmad=false, -ffp-contract=off): a kernel calls fmaf where it wants one, so that a formula has the same bits in
// every kernel.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "kernels/cuda/runtime/constants.h"
#include "kernels/cuda/runtime/context.h"
#include "kernels/cuda/runtime/refuse.h"
#include "kernels/kernels.h"

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "kernels/cuda/emulator/cuda.h"
#endif

// DROPFORGE_SHARED(float, sums, [8][32]); is `__shared__ float sums[8][32];`, on a 16-byte border.
#if defined(__CUDACC__)
#define DROPFORGE_SHARED(type, name, ...) alignas(16) __shared__ type name __VA_ARGS__
#else
#define DROPFORGE_SHARED(type, name, ...)                                             \
    using name##_array = type __VA_ARGS__;                                            \
    static const char name##_tag = 0;                                                 \
    name##_array& name = *static_cast<name##_array*>(::dropforge::simt::shared_array( \
        &name##_tag, #name, sizeof(name##_array), ::dropforge::simt::Location::current()))
#endif

namespace dropforge::kernels::on_cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// ------------------------------------------------------------------------------------------------------------ launches
/// The span's copy in device memory, which lives as long as the context (kernels/cuda/runtime/constants.h).
template <typename T>
const T* constants(std::span<const T> values, Context& context) {
    return static_cast<CudaContext&>(context).constants.find(values);
}

/// Grid and block of a launch, and the source line of the call.
struct LaunchShape {
    LaunchShape(dim3 grid, dim3 block, const char* file = __builtin_FILE(), unsigned line = __builtin_LINE())
        : grid(grid), block(block), file(file), line(line) {}
    dim3 grid, block;
    const char* file;
    unsigned line;
};

/// Launches kernel<<<shape>>>(arguments…) on the context's stream; Error if that fails. A kernel template is named with
/// all its arguments.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), Context& context, const LaunchShape& shape, Arguments&&... arguments) {
#if defined(__CUDACC__)
    cudaLaunchConfig_t config{};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.stream = static_cast<CudaContext&>(context).stream();
    check_launch(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), shape.file, shape.line);
#else
    simt::enqueue(static_cast<CudaContext&>(context).stream(),
                  [=, call = std::tuple<Parameters...>(static_cast<Parameters>(arguments)...)] {
                      const simt::LaunchShape at{shape.grid, shape.block, 0, {shape.file, shape.line}};
                      std::apply([&](auto... a) { simt::launch(kernel, at, a...); }, call);
                  });
#endif
}

/// Blocks of `size` that cover n, as the x extent of a grid.
inline unsigned blocks_for(int64_t n, int64_t size) {
    const int64_t blocks = (n + size - 1) / size;
    constexpr int64_t kLimit = 0x7fffffff;
    if (blocks > kLimit) refuse_size("elements of one launch", n, kLimit * size);
    return static_cast<unsigned>(blocks);
}

// ------------------------------------------------------------------------------------------- storage types and access
/// N elements that are read and written together.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
    T at[N];
};
/// Elements of one 16-byte access, the widest there is.
template <typename T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Loads N elements as f32; p is a multiple of N elements from a 16-byte aligned address.
template <int N, typename T>
__device__ inline void load(const T* p, float (&to)[N]) {
    const auto pack = *reinterpret_cast<const Pack<T, N>*>(p);
#pragma unroll
    for (int i = 0; i < N; ++i) to[i] = static_cast<float>(pack.at[i]);
}

/// Rounds to nearest even; 16-bit types in pairs, which is one instruction from compute capability 8.0 on.
template <int N, typename T>
__device__ inline Pack<T, N> rounded(const float (&from)[N]) {
    Pack<T, N> pack;
    if constexpr (N % 2 == 0 && std::is_same_v<T, __nv_bfloat16>) {
#pragma unroll
        for (int i = 0; i < N; i += 2) {
            const __nv_bfloat162 pair = __floats2bfloat162_rn(from[i], from[i + 1]);
            pack.at[i] = pair.x;
            pack.at[i + 1] = pair.y;
        }
    } else if constexpr (N % 2 == 0 && std::is_same_v<T, __half>) {
#pragma unroll
        for (int i = 0; i < N; i += 2) {
            const __half2 pair = __floats2half2_rn(from[i], from[i + 1]);
            pack.at[i] = pair.x;
            pack.at[i + 1] = pair.y;
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; ++i) pack.at[i] = static_cast<T>(from[i]);
    }
    return pack;
}
/// Stores 16 bytes to global memory in one access. Without it, nvcc makes a store for each element of a pack if other
/// code lies between them, as in most loops (machine_code_test).
__device__ inline void store_16(void* p, const uint4& value) {
#if defined(__CUDA_ARCH__)
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)), "r"(value.x),
                 "r"(value.y), "r"(value.z), "r"(value.w)
                 : "memory");
#else
    *static_cast<uint4*>(p) = value;
#endif
}
/// To global memory.
template <int N, typename T>
__device__ inline void store(T* p, const float (&from)[N]) {
    const Pack<T, N> pack = rounded<N, T>(from);
    if constexpr (sizeof pack % sizeof(uint4) == 0) {
        struct Accesses {
            uint4 at[sizeof pack / sizeof(uint4)];
        };
        const auto accesses = std::bit_cast<Accesses>(pack);
#pragma unroll
        for (size_t i = 0; i < sizeof pack / sizeof(uint4); ++i)
            store_16(reinterpret_cast<uint4*>(p) + i, accesses.at[i]);
    } else {
        *reinterpret_cast<Pack<T, N>*>(p) = pack;
    }
}

template <typename T>
struct Type {
    using type = T;
};
/// Calls f(Type<storage type>{}) for a 16-bit dtype.
template <typename F>
void with_16_bit_type(DType dtype, F&& f) {
    if (dtype == DType::fp16)
        f(Type<__half>{});
    else
        f(Type<__nv_bfloat16>{});
}
/// Calls f(Type<storage type>{}) for any float dtype.
template <typename F>
void with_device_type(DType dtype, F&& f) {
    if (is_16_bit(dtype))
        with_16_bit_type(dtype, f);
    else
        f(Type<float>{});
}

/// Whether all of these pointers (nullptr is) and the distance between rows in bytes are multiples of `bytes`, so that
/// packs of that size can be used.
inline bool aligned(int64_t bytes, int64_t row_bytes, std::initializer_list<const void*> pointers) {
    bool fits = row_bytes % bytes == 0;
    for (const void* p : pointers) fits = fits && reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) == 0;
    return fits;
}
/// Calls f(N) with the number of elements of an access: kPack<T> if rows of `columns` elements allow it, as BERT's
/// widths do, else 1.
template <typename T, typename F>
void with_pack(int64_t columns, std::initializer_list<const void*> pointers, F&& f) {
    if (aligned(16, columns * static_cast<int64_t>(sizeof(T)), pointers))
        f(std::integral_constant<int, kPack<T>>{});
    else
        f(std::integral_constant<int, 1>{});
}

__device__ inline bool is_finite(float x) { return fabsf(x) <= 3.402823466e38f; }

// ---------------------------------------------------------------------------------------------------------- reductions
// A butterfly adds the same two numbers in both lanes of a pair: all lanes end with the same bits.
template <typename T>
__device__ inline T warp_sum(T value) {
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(kAllLanes, value, offset);
    return value;
}
__device__ inline float warp_max(float value) {
#pragma unroll
    for (int offset = kWarp / 2; offset > 0; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, offset));
    return value;
}

struct Sum {
    static constexpr float kNeutral = 0;
    template <typename T>
    __device__ T operator()(T value) const {
        return warp_sum(value);
    }
};
struct Maximum {
    static constexpr float kNeutral = -3.402823466e38f;
    __device__ float operator()(float value) const { return warp_max(value); }
};
/// Reduces over all threads of a block, whose size is a multiple of a warp's: in the warps, then over the warps. All
/// threads get the result.
template <typename T, typename Reduction>
__device__ inline T block_reduce(T value, Reduction reduce) {
    DROPFORGE_SHARED(T, of_warp, [kWarp]);
    const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
    value = reduce(value);
    __syncthreads();  // the call before may still be reading
    if (lane == 0) of_warp[warp] = value;
    __syncthreads();
    return reduce(lane < warps ? of_warp[lane] : T{Reduction::kNeutral});
}

}  // namespace dropforge::kernels::on_cuda
