#include "kernels/cuda/runtime/check_rows.cuh"

#include <vector>

#include "kernels/cuda/runtime/dropout.cuh"

namespace dropforge::kernels::on_cuda {

// These kernels run once for each shape, so they are simple rather than fast: one thread an element.
constexpr int kCheckThreads = 256;

struct RandomRows {
    uint32_t seed;
    int head_size;
    float first, deviation;

    __device__ float operator()(unsigned row, int column) const {
        if (first != 0 && column % head_size == 0) return first;
        const uint4 words = philox4x32(make_uint4(static_cast<unsigned>(column), row, seed, 0), make_uint2(1, 2));
        constexpr float kSpread = 3.4641016f, kUnit = 1.0f / 16777216.0f;  // √12 times 0 … 1
        return (static_cast<float>(words.x >> 8) * kUnit - 0.5f) * kSpread * deviation;
    }
};

struct UnitRows {
    unsigned rows_of_sequence;
    int first_row, head_size;

    __device__ float operator()(unsigned row, int column) const {
        return static_cast<int>(row % rows_of_sequence) - first_row == column % head_size ? 1.0f : 0.0f;
    }
};

struct EqualRows {
    float value;

    __device__ float operator()(unsigned, int) const { return value; }
};

template <typename T, typename F>
__global__ void __launch_bounds__(kCheckThreads)
    check_fill_kernel(T* to, int64_t rows, int columns, int64_t stride, F value) {
    const int64_t i = int64_t{blockIdx.x} * kCheckThreads + threadIdx.x, row = i / columns;
    const int column = static_cast<int>(i % columns);
    if (row < rows) to[row * stride + column] = static_cast<T>(value(static_cast<unsigned>(row), column));
}

template <typename F>
static void fill(const CheckRows& to, const F& value, Context& context) {
    with_16_bit_type(to.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        launch(check_fill_kernel<T, F>, context, {blocks_for(to.rows * to.columns, kCheckThreads), kCheckThreads},
               static_cast<T*>(to.x), to.rows, static_cast<int>(to.columns), to.stride, value);
    });
}

template <typename T>
__global__ void __launch_bounds__(kCheckThreads)
    check_difference_kernel(const T* a, const T* b, int64_t rows, int columns, int64_t stride, float* partial) {
    const int64_t i = int64_t{blockIdx.x} * kCheckThreads + threadIdx.x, row = i / columns;
    float x = 0, y = 0;
    if (row < rows) {
        const int64_t at = row * stride + i % columns;
        x = static_cast<float>(a[at]);
        y = static_cast<float>(b[at]);
    }
    const float squares = block_reduce((x - y) * (x - y), Sum{}), of = block_reduce(y * y, Sum{});
    const float not_finite = block_reduce(fabsf(x) <= Maximum::kNeutral * -1.0f ? 0.0f : 1.0f, Sum{});
    if (threadIdx.x == 0) {
        float* sums = partial + int64_t{blockIdx.x} * 3;
        sums[0] = squares;
        sums[1] = of;
        sums[2] = not_finite;
    }
}

void fill_random(const CheckRows& to, uint32_t seed, float deviation, Context& context) {
    fill(to, RandomRows{seed, 1, 0, deviation}, context);
}

void fill_random_heads(const CheckRows& to, uint32_t seed, int64_t head_size, float first, Context& context) {
    fill(to, RandomRows{seed, static_cast<int>(head_size), first, 1}, context);
}

void fill_units(const CheckRows& to, int64_t rows_of_sequence, int64_t first_row, int64_t head_size, Context& context) {
    fill(to,
         UnitRows{static_cast<unsigned>(rows_of_sequence), static_cast<int>(first_row), static_cast<int>(head_size)},
         context);
}

void fill_value(const CheckRows& to, float value, Context& context) { fill(to, EqualRows{value}, context); }

int64_t difference_scratch_bytes(int64_t rows, int64_t columns) {
    return int64_t{blocks_for(rows * columns, kCheckThreads)} * 3 * static_cast<int64_t>(sizeof(float));
}

cudaError_t find_code() {
    cudaFuncAttributes attributes{};
    return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&check_difference_kernel<float>));
}

Difference difference(const CheckRows& a, const void* b, float* partial, Context& context) {
    const unsigned blocks = blocks_for(a.rows * a.columns, kCheckThreads);
    with_device_type(a.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        launch(check_difference_kernel<T>, context, {blocks, kCheckThreads}, static_cast<const T*>(a.x),
               static_cast<const T*>(b), a.rows, static_cast<int>(a.columns), a.stride, partial);
    });
    std::vector<float> sums(size_t{blocks} * 3);
    context.download(sums.data(), partial, static_cast<int64_t>(sums.size() * sizeof(float)));
    context.synchronize();
    Difference d;
    for (size_t i = 0; i < sums.size(); i += 3) {
        d.squares += static_cast<double>(sums[i]);
        d.of += static_cast<double>(sums[i + 1]);
        d.not_finite += static_cast<int64_t>(sums[i + 2]);
    }
    return d;
}

}  // namespace dropforge::kernels::on_cuda
