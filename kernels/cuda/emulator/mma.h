// The emulator's equivalents of runtime/mma.cuh's instructions: functions of the values of all lanes of a warp.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/emulator/simt.h"

namespace dropforge::simt {

/// Element `half` (0: lower) of a pair.
template <typename T>
float half_of(unsigned pair, int half) {
    const auto bits = static_cast<uint16_t>(pair >> (16 * half));
    T value;
    std::memcpy(static_cast<void*>(&value), &bits, sizeof bits);
    return static_cast<float>(value);
}

struct MultiplyAdd {
    float* c;
    const unsigned* a;
    unsigned b[2];
};

template <typename T>
void multiply_add_of_warp(void* const* lanes) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < kWarp; ++lane) {
        const auto& m = *static_cast<const MultiplyAdd*>(lanes[lane]);
        const int g = lane / 4, t = lane % 4;
        for (int half = 0; half < 2; ++half) {
            for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][i / 2 * 8 + 2 * t + half] = half_of<T>(m.a[i], half);
            for (int i = 0; i < 2; ++i) b[i * 8 + 2 * t + half][g] = half_of<T>(m.b[i], half);
        }
    }
    for (int row = 0; row < 16; ++row) {
        float sum[8] = {};
        for (int k = 0; k < 16; ++k)
            for (int column = 0; column < 8; ++column) sum[column] += a[row][k] * b[k][column];
        for (int column = 0; column < 8; ++column) {
            const auto& m = *static_cast<const MultiplyAdd*>(lanes[row % 8 * 4 + column / 2]);
            m.c[row / 8 * 2 + column % 2] += sum[column];
        }
    }
}

template <typename T>
void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                  Location where = Location::current()) {
    MultiplyAdd operands{c, a, {b0, b1}};
    together(&operands, multiply_add_of_warp<T>, where);
}

struct LoadMatrices {
    unsigned* to;
    const void* row;
};

template <bool kTransposed>
void load_matrices_of_warp(void* const* lanes) {
    for (int matrix = 0; matrix < 4; ++matrix) {
        uint16_t element[8][8];
        for (int row = 0; row < 8; ++row)
            std::memcpy(element[row], static_cast<const LoadMatrices*>(lanes[8 * matrix + row])->row, 16);
        for (int lane = 0; lane < kWarp; ++lane) {
            const int g = lane / 4, t = lane % 4;
            const unsigned low = kTransposed ? element[2 * t][g] : element[g][2 * t];
            const unsigned high = kTransposed ? element[2 * t + 1][g] : element[g][2 * t + 1];
            static_cast<const LoadMatrices*>(lanes[lane])->to[matrix] = low | high << 16;
        }
    }
}

template <bool kTransposed>
void load_matrices(unsigned (&to)[4], const void* row, Location where = Location::current()) {
    note_read(row, 16);
    LoadMatrices operands{to, row};
    together(&operands, load_matrices_of_warp<kTransposed>, where);
}

inline unsigned spread_signs(unsigned low, unsigned high, unsigned selector) {
    const uint64_t bytes = low | uint64_t{high} << 32;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        if (bytes >> (8 * (selector >> (4 * i) & 7) + 7) & 1) result |= 0xffu << (8 * i);
    return result;
}

}  // namespace dropforge::simt
