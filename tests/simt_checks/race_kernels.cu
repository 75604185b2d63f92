#include "tests/simt_checks/race_kernels.h"

#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::simt::race_kernels {

using kernels::on_cuda::kWarp;
using kernels::on_cuda::Pack;

namespace {

void run(auto kernel, dim3 grid, dim3 block, auto... arguments) {
    launch(kernel, {grid, block, 0, Location::current()}, arguments...);
}

__device__ void write(float* row, float value) { row[threadIdx.x] = value; }
constexpr int kWriting = __LINE__ - 1;
__device__ float read(const float* row) { return row[(threadIdx.x + 33) % 64]; }
constexpr int kReading = __LINE__ - 1;

__global__ void rotate(float* out, bool before_reading, bool before_writing) {
    DROPFORGE_SHARED(float, row, [64]);
    float value = static_cast<float>(threadIdx.x);
    for (int round = 0; round < 2; ++round) {
        write(row, value);
        if (before_reading) __syncthreads();
        value = read(row);
        if (before_writing) __syncthreads();
    }
    out[threadIdx.x] = value;
}

__global__ void exchange_lanes(float* out, int distance, Between between) {
    DROPFORGE_SHARED(float, row, [kWarp]);
    const unsigned lane = threadIdx.x;
    row[lane] = static_cast<float>(lane);
    if (between == Between::shuffle) __shfl_xor_sync(~0u, 1, 1);
    if (between == Between::vote) __ballot_sync(~0u, 1);
    if (between == Between::syncwarp_of_half) __syncwarp(lane < 16 ? 0xffffu : 0xffff0000u);
    if (between == Between::syncwarp) __syncwarp();
    out[blockIdx.x * kWarp + lane] = row[lane ^ static_cast<unsigned>(distance)];
}

__global__ void add_to_word(int* sum, bool atomic) {
    if (atomic)
        atomicAdd(sum, 1);
    else if (threadIdx.x == 0)
        *sum += 1;
}

__global__ void last_block_adds(float* partials, unsigned* counter, float* total, bool fence) {
    DROPFORGE_SHARED(bool, last, [1]);
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = 1;
        if (fence) __threadfence();
        last[0] = atomicAdd(counter, 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last[0] || threadIdx.x != 1) return;
    *total = 0;
    for (unsigned b = 0; b < gridDim.x; ++b) *total += partials[b];
}

__global__ void set_and_look(int* flag, bool atomic) {
    if (threadIdx.x == 0) atomicAdd(flag, 1);
    if (threadIdx.x == 40) {
        if (atomic)
            atomicAdd(flag, 0);
        else
            flag[1] = *flag;
    }
}

__global__ void fill_and_sum(float* out, unsigned written) {
    DROPFORGE_SHARED(float, row, [64]);
    if (threadIdx.x < written) row[threadIdx.x] = 1;
    __syncthreads();
    float sum = 0;
    for (int i = 0; i < 64; ++i) sum += row[i];
    out[blockIdx.x * 64 + threadIdx.x] = sum;
}

__global__ void copy_packs(const float* from, float* to, unsigned step) {
    reinterpret_cast<Pack<float, 8>*>(to)[threadIdx.x * step / 2] =
        reinterpret_cast<const Pack<float, 8>*>(from)[threadIdx.x];
}

__global__ void add_one_kernel(float* out, int n) {
    if (const int i = static_cast<int>(threadIdx.x); i < n) out[i] += 1;
}

__global__ void copy_kernel(const float* in, float* out, int n) {
    if (const int i = static_cast<int>(threadIdx.x); i < n) out[i] = in[i];
}

}  // namespace

const int kLineOfWriting = kWriting, kLineOfReading = kReading;

void barrier_before_reading(float* out, bool right) { run(rotate, 1, 64, out, right, true); }
void barrier_before_writing(float* out, bool right) { run(rotate, 1, 64, out, true, right); }
void exchange_in_warp(float* out, int distance, Between between) { run(exchange_lanes, 2, 32, out, distance, between); }
void atomic_addition(int* sum, bool right) { run(add_to_word, 4, 32, sum, right); }
void fence_before_counting(float* partials, unsigned* counter, float* total, bool right) {
    run(last_block_adds, 4, 32, partials, counter, total, right);
}
void atomic_reading(int* flag, bool right) { run(set_and_look, 1, 64, flag, right); }
void writing_of_shared_memory(float* out, bool right) { run(fill_and_sum, 2, 64, out, right ? 64u : 32u); }
void rows_of_their_own(const float* from, float* to, bool right) { run(copy_packs, 1, 8, from, to, right ? 2u : 1u); }
void add_one(float* out, int n) { run(add_one_kernel, 1, 32, out, n); }
void copy(const float* in, float* out, int n) { run(copy_kernel, 1, 32, in, out, n); }

}  // namespace dropforge::simt::race_kernels
