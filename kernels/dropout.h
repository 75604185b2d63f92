// The dropout of one element, as kernels.h's Dropout defines it. Vectorised versions must give the same bits.
#pragma once

#include <cstdint>

#include "base/philox.h"
#include "kernels/kernels.h"

namespace dropforge::kernels {

/// The number of this call's row 0 in the step's global batch; 0 if dropout is off.
inline uint64_t first_row(const Dropout& d, int64_t rows_per_sequence) {
    return d.active() ? uint64_t{d.state[3]} * static_cast<uint64_t>(rows_per_sequence) : 0;
}

/// Whether element (row, column) survives; `row` is global (first_row + the row of this call) and enters the counter
/// modulo 2^32. Always true if dropout is off.
inline bool kept(const Dropout& d, uint64_t row, int64_t column) {
    if (!d.active()) return true;
    const uint64_t key = d.state[0] | uint64_t{d.state[1]} << 32;
    const Philox4 words =
        philox4x32({static_cast<uint32_t>(column / 8), static_cast<uint32_t>(row), d.site, d.state[2]}, key);
    const auto half = static_cast<uint32_t>(column % 8);
    const uint32_t draw = (words[half / 2] >> (16 * (half % 2))) & 0xffffu;
    return draw >= d.threshold();
}

/// The factor of element (row, column): 0 or scale(); 1 if dropout is off.
inline float dropout_factor(const Dropout& d, uint64_t row, int64_t column) {
    return kept(d, row, column) ? d.scale() : 0.0f;
}

}  // namespace dropforge::kernels
