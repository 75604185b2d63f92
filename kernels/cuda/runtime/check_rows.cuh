// What checks of libraries' kernels do on the device: operands that are numbers known to the host, and differences.
#pragma once

#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdint>

#include "kernels/kernels.h"

namespace dropforge::kernels::on_cuda {

/// Rows, of heads perhaps: [rows, columns], `stride` elements apart.
struct CheckRows {
    void* x;
    int64_t rows, columns, stride;
    DType dtype;
};
/// Uniform numbers of mean 0 and that standard deviation, other ones for another seed.
void fill_random(const CheckRows& to, uint32_t seed, float deviation, Context& context);
/// The same with deviation 1, but the first column of each head is `first` if that is not 0.
void fill_random_heads(const CheckRows& to, uint32_t seed, int64_t head_size, float first, Context& context);
/// Row r of each sequence of `rows_of_sequence` is 1 in column r - first_row of each head, 0 elsewhere.
void fill_units(const CheckRows& to, int64_t rows_of_sequence, int64_t first_row, int64_t head_size, Context& context);
void fill_value(const CheckRows& to, float value, Context& context);

/// Of two tensors; sums of squares.
struct Difference {
    double squares = 0, of = 0;
    int64_t not_finite = 0;  // elements of the first

    /// ‖a − b‖ / ‖b‖, NaN if anything is.
    double relative() const { return std::sqrt(squares / of); }
};
/// a and b have the same rows and type; waits for the device. partial: difference_scratch_bytes.
Difference difference(const CheckRows& a, const void* b, float* partial, Context& context);
int64_t difference_scratch_bytes(int64_t rows, int64_t columns);
/// What relative() may be of results in 16 bits that were each rounded a few times on the way: four units of rounding,
/// where a wrong mask, length, scale or bias is off by far more.
constexpr double relative_limit(DType dtype) { return 4 * (dtype == DType::bf16 ? 0x1p-8 : 0x1p-11); }

/// cudaSuccess if this program has code that the first GPU can run.
cudaError_t find_code();

}  // namespace dropforge::kernels::on_cuda
