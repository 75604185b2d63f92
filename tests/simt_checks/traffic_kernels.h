// Kernels whose traffic is known by hand, for traffic_test.cpp. x and y are f32 unless it says otherwise.
#pragma once

#include <cstdint>

namespace dropforge::simt::traffic_kernels {

/// y[i] = x[i * stride + offset], i < n, a multiple of 32.
void copy(const float* x, float* y, int n, int stride, int offset);
/// The same for n 16-bit numbers, 8 of them a thread, and to f32.
void copy_packs(const uint16_t* x, uint16_t* y, int n);
void widen_packs(const uint16_t* x, float* y, int n);
/// The same for n 16-bit numbers one by one, each thread 8 neighbours.
void copy_neighbours(const uint16_t* x, uint16_t* y, int n);
/// y[i] = x[i] + x[0] with 128 threads a block; where `again`, x[i] is read a second time behind a barrier, and where
/// `others`, by the block after.
void read_again(const float* x, float* y, int n, bool again, bool others);
/// Transposes [n, n], n a multiple of 32, without shared memory.
void transpose(const float* x, float* y, int n);
/// count[x[i]] += 1.
void histogram(const int* x, int* count, int n);
/// Every second thread copies; 40 threads a block.
void copy_half(const float* x, float* y, int n);

}  // namespace dropforge::simt::traffic_kernels
