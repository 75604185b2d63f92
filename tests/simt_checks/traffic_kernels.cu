#include "tests/simt_checks/traffic_kernels.h"

#include "kernels/cuda/runtime/device.cuh"

namespace dropforge::simt::traffic_kernels {

using namespace kernels::on_cuda;

namespace {

void run(auto kernel, unsigned grid, dim3 block, auto... arguments) {
    simt::launch(kernel, {grid, block, 0, Location::current()}, arguments...);
}

__device__ int index() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }

__global__ void copy_kernel(const float* x, float* y, int stride, int offset) {
    y[index()] = x[index() * stride + offset];
}

template <typename To>
__global__ void copy_packs_kernel(const __nv_bfloat16* x, To* y) {
    float value[8];
    load<8>(x + index() * 8, value);
    store<8>(y + index() * 8, value);
}

__global__ void copy_neighbours_kernel(const uint16_t* x, uint16_t* y) {
    for (int i = 0; i < 8; ++i) y[index() * 8 + i] = x[index() * 8 + i];
}

__global__ void read_again_kernel(const float* x, float* y, int n, bool again, bool others) {
    float sum = x[index()] + x[0];
    __syncthreads();
    if (again) sum += x[index()];
    if (others) sum += x[(index() + 128) % n];
    y[index()] = sum;
}

__global__ void transpose_kernel(const float* x, float* y, int n) {
    const unsigned row = blockIdx.x, columns = static_cast<unsigned>(n);
    for (unsigned column = threadIdx.x; column < columns; column += kWarp)
        y[column * columns + row] = x[row * columns + column];
}

__global__ void histogram_kernel(const int* x, int* count) { atomicAdd(count + x[index()], 1); }

__global__ void copy_half_kernel(const float* x, float* y, int n) {
    if (const int i = index(); i % 2 == 0 && i < n) y[i] = x[i];
}

}  // namespace

void copy(const float* x, float* y, int n, int stride, int offset) {
    run(copy_kernel, static_cast<unsigned>(n) / 32, 32, x, y, stride, offset);
}
void copy_packs(const uint16_t* x, uint16_t* y, int n) {
    run(copy_packs_kernel<__nv_bfloat16>, static_cast<unsigned>(n) / 256, 32, reinterpret_cast<const __nv_bfloat16*>(x),
        reinterpret_cast<__nv_bfloat16*>(y));
}
void widen_packs(const uint16_t* x, float* y, int n) {
    run(copy_packs_kernel<float>, static_cast<unsigned>(n) / 256, 32, reinterpret_cast<const __nv_bfloat16*>(x), y);
}
void copy_neighbours(const uint16_t* x, uint16_t* y, int n) {
    run(copy_neighbours_kernel, static_cast<unsigned>(n) / 256, 32, x, y);
}
void read_again(const float* x, float* y, int n, bool again, bool others) {
    run(read_again_kernel, static_cast<unsigned>(n) / 128, 128, x, y, n, again, others);
}
void transpose(const float* x, float* y, int n) { run(transpose_kernel, static_cast<unsigned>(n), 32, x, y, n); }
void histogram(const int* x, int* count, int n) { run(histogram_kernel, static_cast<unsigned>(n) / 32, 32, x, count); }
void copy_half(const float* x, float* y, int n) {
    run(copy_half_kernel, (static_cast<unsigned>(n) + 39) / 40, 40, x, y, n);
}

}  // namespace dropforge::simt::traffic_kernels
