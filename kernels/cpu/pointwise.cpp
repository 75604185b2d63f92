// GELU and tanh, forward and backward, dropout, and column sums. Backward also makes the bias gradient, the column sums
// of its result, from registers.
#include "kernels/cpu/dropout.h"
#include "kernels/cpu/dtype.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/math.h"
#include "kernels/cpu/parallel.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// A function and its derivative at a point.
struct Curve {
    f32v value, slope;
};

// The two forms of GELU.
struct GeluErf {
    static f32v value(f32v x) { return x * normal(x).distribution; }
    static Curve curve(f32v x) {
        const Normal n = normal(x);
        return {x * n.distribution, n.distribution + x * n.density};
    }
};
struct GeluTanh {
    static constexpr float kFactor = 0.797884561f, kCubic = 0.044715f;  // √(2/π)

    /// g = (1 + tanh u) / 2 = 1 / (1 + e^(-2u)), u = √(2/π) (x + 0.044715 x³), and g (1 - g), both without
    /// cancellation.
    struct Gate {
        explicit Gate(f32v x) {
            const f32v e = exp(abs(x) * (x * x * kCubic + 1.0f) * (-2.0f * kFactor));  // of |u|: at most 1
            const f32v larger = 1.0f / (1.0f + e), smaller = e * larger;
            value = x < 0.0f ? smaller : larger;
            product = smaller * larger;
        }
        f32v value, product;
    };
    static f32v value(f32v x) { return x * Gate(x).value; }
    static Curve curve(f32v x) {
        const Gate g(x);
        return {x * g.value, g.value + x * g.product * (x * x * (6.0f * kFactor * kCubic) + 2.0f * kFactor)};
    }
};

template <typename F>
void with_form(Gelu form, F&& f) {
    if (form == Gelu::erf)
        f(GeluErf{});
    else
        f(GeluTanh{});
}

/// y[i] = f(x[i]).
template <typename Forward, typename F>
void map(const Forward& op, F&& f) {
    with_cpu_type(op.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_pieces(op.n, [&](int64_t begin, int64_t size) {
            const T* x = static_cast<const T*>(op.x) + begin;
            T* y = static_cast<T*>(op.y) + begin;
            for_columns(size, [&](int64_t j, auto count) { store(y + j, f(load(x + j, count)), count); });
        });
    });
}

/// dx = dy · slope at `saved` (forward's x or y); also its column sums, and the value to `again`, unless these are
/// nullptr.
template <typename Backward, typename F>
void map_backward(const Backward& op, const void* saved, void* again, F&& curve) {
    auto* partials = op.dx_sum ? static_cast<float*>(op.scratch) : nullptr;
    with_cpu_type(op.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_row_blocks(op.rows, op.columns, [&](int64_t block, int64_t begin, int64_t end) {
            float* sum = partials ? partials + block * op.columns : nullptr;
            if (sum) std::fill_n(sum, op.columns, 0.0f);
            for (int64_t row = begin; row < end; ++row) {
                const T* dy = static_cast<const T*>(op.dy) + row * op.columns;
                const T* at = static_cast<const T*>(saved) + row * op.columns;
                T* dx = static_cast<T*>(op.dx) + row * op.columns;
                T* value = again ? static_cast<T*>(again) + row * op.columns : nullptr;
                for_columns(op.columns, [&](int64_t j, auto count) {
                    const Curve c = curve(load(at + j, count));
                    const f32v gradient = load(dy + j, count) * c.slope;
                    store(dx + j, gradient, count);
                    if (sum) add_to(sum + j, gradient, count);
                    if (value) store(value + j, c.value, count);
                });
            }
        });
    });
    if (partials) add_partials(partials, row_blocks(op.rows), op.columns, op.columns, op.dx_sum, op.accumulate);
}

}  // namespace

void gelu_forward(const GeluForward& g, Context&) {
    with_form(g.form, [&](auto form) { map(g, [&](f32v x) { return form.value(x); }); });
}

void gelu_backward(const GeluBackward& g, Context&) {
    with_form(g.form, [&](auto form) { map_backward(g, g.x, g.y, [&](f32v x) { return form.curve(x); }); });
}

void tanh_forward(const TanhForward& t, Context&) {
    map(t, [](f32v x) { return tanh(x); });
}

void tanh_backward(const TanhBackward& t, Context&) {
    map_backward(t, t.y, nullptr, [](f32v y) { return Curve{y, 1.0f - y * y}; });
}

void dropout(const DropoutRows& d, Context&) {
    with_dropout_row(d.dtype, d.dropout, [&]<typename T, typename DropRow>() {
        parallel_row_blocks(d.rows, d.columns, [&](int64_t, int64_t begin, int64_t end) {
            const DropoutMask mask(d.dropout, d.rows_per_sequence);
            for (int64_t row = begin; row < end; ++row) {
                const T* x = static_cast<const T*>(d.x) + row * d.columns;
                T* y = static_cast<T*>(d.y) + row * d.columns;
                DropRow drop(mask, row);
                for_columns(d.columns,
                            [&](int64_t j, auto count) { store(y + j, drop(load(x + j, count), j), count); });
            }
        });
    });
}

void column_sum(const ColumnSum& c, Context&) {
    auto* partials = static_cast<float*>(c.scratch);
    with_cpu_type(c.dtype, [&](auto type) {
        using T = decltype(type);
        parallel_row_blocks(c.rows, c.columns, [&](int64_t block, int64_t begin, int64_t end) {
            float* sum = partials + block * c.columns;
            std::fill_n(sum, c.columns, 0.0f);
            for (int64_t row = begin; row < end; ++row) {
                const T* x = static_cast<const T*>(c.x) + row * c.stride;
                for_columns(c.columns, [&](int64_t j, auto count) { add_to(sum + j, load(x + j, count), count); });
            }
        });
    });
    add_partials(partials, row_blocks(c.rows), c.columns, c.columns, c.sum, c.accumulate);
}

}  // namespace dropforge::kernels::on_cpu
