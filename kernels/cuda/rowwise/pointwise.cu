// GELU and tanh, forward and backward, and dropout. Backward also makes the bias gradient, the column sums of its
// result, from registers, where dx_sum is given.
#include "kernels/cuda/rowwise/column_sums.cuh"
#include "kernels/cuda/rowwise/functions.h"
#include "kernels/cuda/runtime/dropout.cuh"

namespace dropforge::kernels::on_cuda {

/// A function and its derivative at a point.
struct Curve {
    float value, slope;
};

// Forward and backward get the same bits for the value because both call `value`.
struct GeluErf {
    __device__ static float distribution(float x) { return fmaf(0.5f, erff(x * 0.707106781f), 0.5f); }
    __device__ static float value(float x) { return x * distribution(x); }
    __device__ static Curve curve(float x) {
        const float density = 0.398942280f * expf(-0.5f * x * x);
        return {value(x), fmaf(x, density, distribution(x))};
    }
};

struct GeluTanh {
    static constexpr float kFactor = 0.797884561f, kCubic = 0.044715f;  // √(2/π)

    /// g = (1 + tanh u) / 2 = 1 / (1 + e^(-2u)), u = √(2/π) (x + 0.044715 x³), and g (1 - g), both without
    /// cancellation.
    struct Gate {
        float value, product;
    };
    __device__ static Gate gate(float x) {
        const float e = expf(fabsf(x) * fmaf(x * x, kCubic, 1.0f) * (-2.0f * kFactor));  // of |u|: at most 1
        // The divisor is in 1 … 2, where the fast division is within 2 ulp; the exact one calls a function.
        const float larger = __fdividef(1.0f, 1.0f + e), smaller = e * larger;
        return {x < 0.0f ? smaller : larger, smaller * larger};
    }
    __device__ static float value(float x) { return x * gate(x).value; }
    __device__ static Curve curve(float x) {
        const Gate g = gate(x);
        return {x * g.value, fmaf(x * g.product, fmaf(x * x, 6.0f * kFactor * kCubic, 2.0f * kFactor), g.value)};
    }
};

struct Tanh {
    __device__ static float value(float x) { return tanhf(x); }
};
struct TanhOfOutput {
    __device__ static Curve curve(float y) { return {y, fmaf(-y, y, 1.0f)}; }
};

constexpr int kMapThreads = 256;

/// y[i] = F::value(x[i]). One access of 16 bytes a thread and at most 32 registers: 8 blocks, the 2048 threads of a
/// SM, have 32 KiB of reads in flight, which hides the latency of memory on A100 and H100 both.
template <typename T, int N, typename F>
__global__ void __launch_bounds__(kMapThreads) map_kernel(const T* x, T* y, int64_t n) {
    const int64_t first = (int64_t{blockIdx.x} * kMapThreads + threadIdx.x) * N;
    if (first + N <= n) {
        float value[N];
        load<N>(x + first, value);
#pragma unroll
        for (int i = 0; i < N; ++i) value[i] = F::value(value[i]);
        store<N>(y + first, value);
    } else {  // the end of the array, in one thread
        for (int64_t i = first; i < n; ++i) y[i] = static_cast<T>(F::value(static_cast<float>(x[i])));
    }
}

template <typename F, typename Forward>
void map(const Forward& op, Context& context) {
    if (op.n == 0) return;
    with_device_type(op.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(0, {op.x, op.y}, [&](auto pack) {
            launch(map_kernel<T, pack(), F>, context, {blocks_for(op.n, int64_t{kMapThreads} * pack()), kMapThreads},
                   static_cast<const T*>(op.x), static_cast<T*>(op.y), op.n);
        });
    });
}

/// dx = dy * slope at `saved` (forward's x or y); also the partial column sums of dx, and the value to `again`, unless
/// these are nullptr. A warp has 32 packs of a row, and the warps of a block share the rows of its row block. dx may be
/// dy, and `again` may be `saved`: a thread reads an element before it writes it.
template <typename T, int N, typename F>
__global__ void __launch_bounds__(kWarp* kSumWarps)
    map_backward_kernel(const T* dy, const T* saved, T* dx, T* again, float* partials, int64_t rows, int64_t columns) {
    const int64_t column = (int64_t{blockIdx.x} * kWarp + threadIdx.x) * N;
    const RowRange range(rows);
    float sum[N] = {};
    if (column < columns) {
        for (int64_t row = range.first; row < range.last; ++row) {
            const int64_t at = row * columns + column;
            float gradient[N], value[N];
            load<N>(dy + at, gradient);
            load<N>(saved + at, value);
#pragma unroll
            for (int i = 0; i < N; ++i) {
                const Curve c = F::curve(value[i]);
                gradient[i] *= c.slope;
                value[i] = c.value;
                sum[i] += gradient[i];
            }
            store<N>(dx + at, gradient);
            if (again) store<N>(again + at, value);
        }
    }
    if (partials) add_warps<N>(sum, column, columns, partials + int64_t{blockIdx.y} * columns);
}

template <typename F, typename Backward>
void map_backward(const Backward& op, const void* saved, void* again, Context& context) {
    const int64_t blocks = device_column_blocks(op.rows);
    auto* partials = op.dx_sum ? static_cast<float*>(op.scratch) : nullptr;
    with_device_type(op.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(op.columns, {op.dy, saved, op.dx, again}, [&](auto pack) {
            launch(map_backward_kernel<T, pack(), F>, context, sum_shape(op.columns, blocks, pack()),
                   static_cast<const T*>(op.dy), static_cast<const T*>(saved), static_cast<T*>(op.dx),
                   static_cast<T*>(again), partials, op.rows, op.columns);
        });
    });
    if (partials) add_partials(partials, blocks, op.columns, {{op.dx_sum}, 1}, op.accumulate, context);
}

void gelu_forward(const GeluForward& g, Context& context) {
    if (g.form == Gelu::erf)
        map<GeluErf>(g, context);
    else
        map<GeluTanh>(g, context);
}

void gelu_backward(const GeluBackward& g, Context& context) {
    if (g.form == Gelu::erf)
        map_backward<GeluErf>(g, g.x, g.y, context);
    else
        map_backward<GeluTanh>(g, g.x, g.y, context);
}

void tanh_forward(const TanhForward& t, Context& context) { map<Tanh>(t, context); }

void tanh_backward(const TanhBackward& t, Context& context) { map_backward<TanhOfOutput>(t, t.y, nullptr, context); }

constexpr int kDropoutWarps = 8;

/// y = dropout(x); a warp has a row, so that no thread divides. y may be x: a thread reads an element before it writes
/// it.
template <typename T, int N>
__global__ void __launch_bounds__(kWarp* kDropoutWarps)
    dropout_kernel(const T* x, T* y, int64_t rows, int64_t columns, DropoutArgument dropout) {
    const int64_t row = int64_t{blockIdx.x} * kDropoutWarps + threadIdx.y, start = row * columns;
    if (row >= rows) return;
    const DropoutDraws draws(dropout);
    for (int64_t column = int64_t{threadIdx.x} * N; column < columns; column += kWarp * N) {
        float value[N];
        load<N>(x + start + column, value);
        draws.apply<N>(value, row, column);
        store<N>(y + start + column, value);
    }
}

void dropout(const DropoutRows& d, Context& context) {
    if (d.rows == 0) return;
    with_device_type(d.dtype, [&](auto type) {
        using T = typename decltype(type)::type;
        with_pack<T>(d.columns, {d.x, d.y}, [&](auto pack) {
            launch(dropout_kernel<T, pack()>, context, {blocks_for(d.rows, kDropoutWarps), dim3(kWarp, kDropoutWarps)},
                   static_cast<const T*>(d.x), static_cast<T*>(d.y), d.rows, d.columns,
                   DropoutArgument(d.dropout, d.rows_per_sequence));
        });
    });
}

}  // namespace dropforge::kernels::on_cuda
