// The microkernel for bf16 with AMX: 2 x 2 tile registers of 16 rows of 16 sums. A step is 32 elements of k: of a, 16
// rows of 64 bytes; of b, 16 rows of words as packed for VDPBF16PS.
#pragma once

#include "kernels/cpu/microkernel.h"

namespace dropforge::kernels::on_cpu {

/// While it lives, this thread may multiply tiles of T. AMX's registers have a shape, and what they hold is saved at
/// each switch of threads until they are released.
template <typename T>
struct TileRegisters {
    TileRegisters() {}  // not trivial, so that no compiler calls the variable unused
};

#if DROPFORGE_AMX
template <>
struct TileRegisters<bf16> {
    TileRegisters() {
        struct alignas(64) Shapes {  // Intel's manual, LDTILECFG
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        };
        static constexpr Shapes kShapes;
        _tile_loadconfig(&kShapes);
    }
    TileRegisters(const TileRegisters&) = delete;
    TileRegisters& operator=(const TileRegisters&) = delete;
    ~TileRegisters() { _tile_release(); }
};

/// c is in memory: tile registers only load, multiply and store.
template <int N>
struct Tile<bf16, N> {
    alignas(64) f32v c[kTileRows<bf16>][N];

    /// c = a · b, or, if `add`, c += a · b.
    template <TileA layout>
    [[gnu::always_inline]] void multiply(int64_t words, const void* a, int64_t stride, const float* b,
                                         bool add = false) {
        constexpr int64_t kRowOfB = sizeof c[0], kStepOfA = layout == TileA::rows ? 64 : 64 * kTileRows<bf16>;
        const auto* upper = static_cast<const char*>(a);
        const char* lower = upper + kLanes * stride;
        asm volatile("" ::: "memory");  // GCC does not know that _tile_loadd reads what was stored before
        if (add) {
            _tile_loadd(0, &c[0][0], kRowOfB);
            _tile_loadd(2, &c[kLanes][0], kRowOfB);
            if constexpr (N == 2) {
                _tile_loadd(1, &c[0][1], kRowOfB);
                _tile_loadd(3, &c[kLanes][1], kRowOfB);
            }
        } else {
            _tile_zero(0);
            _tile_zero(2);
            if constexpr (N == 2) {
                _tile_zero(1);
                _tile_zero(3);
            }
        }
        for (int64_t k = 0; k < words; k += kLanes, upper += kStepOfA, lower += kStepOfA, b += kLanes * kLanes * N) {
            _tile_loadd(6, b, kRowOfB);
            _tile_loadd(4, upper, stride);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(5, lower, stride);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (N == 2) {
                _tile_loadd(7, b + kLanes, kRowOfB);
                _tile_dpbf16ps(1, 4, 7);
                _tile_dpbf16ps(3, 5, 7);
            }
        }
        _tile_stored(0, &c[0][0], kRowOfB);
        _tile_stored(2, &c[kLanes][0], kRowOfB);
        if constexpr (N == 2) {
            _tile_stored(1, &c[0][1], kRowOfB);
            _tile_stored(3, &c[kLanes][1], kRowOfB);
        }
        asm volatile("" ::: "memory");
    }
};
#endif

}  // namespace dropforge::kernels::on_cpu
