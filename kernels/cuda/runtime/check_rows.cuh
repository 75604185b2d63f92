// Device functions for the checks of libraries' kernels: operands of known values, and differences of results.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// A matrix [rows, columns] whose rows are `stride` elements apart; columns may be those of several heads.
struct CheckRows {
    void* x;
    int64_t rows, columns, stride;
    DType dtype;
};
/// Fills with uniform numbers of mean 0 and the standard deviation `deviation`, drawn from the seed.
void fill_random(const CheckRows& to, uint32_t seed, float deviation, Context& context);
/// As fill_random with deviation 1, except that the first column of each head is `first`, if that is not 0.
void fill_random_heads(const CheckRows& to, uint32_t seed, int64_t head_size, float first, Context& context);
/// Fills row r of each sequence of `rows_of_sequence` rows with 1 in column r - first_row of each head, 0 elsewhere.
void fill_units(const CheckRows& to, int64_t rows_of_sequence, int64_t first_row, int64_t head_size, Context& context);
void fill_value(const CheckRows& to, float value, Context& context);

/// The difference of two tensors a and b.
struct Difference {
    double squares = 0, of = 0;  // ‖a − b‖², ‖b‖²
    int64_t not_finite = 0;      // elements of a

    /// ‖a − b‖ / ‖b‖; NaN if an element is.
    double relative() const { return std::sqrt(squares / of); }
};
/// The difference of a and b, which has the rows and the type of a. Waits for the device. `partial` is scratch of
/// difference_scratch_bytes().
Difference difference(const CheckRows& a, const void* b, float* partial, Context& context);
int64_t difference_scratch_bytes(int64_t rows, int64_t columns);
/// The limit of relative() for right 16-bit results: four units of rounding, since each was rounded a few times. A
/// wrong mask, length, scale or bias exceeds it by far.
constexpr double relative_limit(DType dtype) { return 4 * (dtype == DType::bf16 ? 0x1p-8 : 0x1p-11); }

/// cudaSuccess if this program contains code for the first GPU.
cudaError_t find_code();

}  // namespace dropforge::kernels::on_cuda
