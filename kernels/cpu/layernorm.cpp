// Dropout + residual + LayerNorm in one pass over memory: a row stays in the first-level cache between the steps.
#include "kernels/cpu/layernorm.h"

#include "kernels/cpu/dropout.h"
#include "kernels/cpu/functions.h"

namespace dropforge::kernels::on_cpu {

namespace {

template <typename T, typename DropRow>
void forward_row(const LayerNormForward& l, const DropoutMask& mask, int64_t row) {
    const T* x = static_cast<const T*>(l.x) + row * l.columns;
    T* y = static_cast<T*>(l.y) + row * l.columns;
    const auto source = [&](int64_t j, auto count) { return load(x + j, count); };
    f32v total{};
    if (l.z) {
        T* z = static_cast<T*>(l.z) + row * l.columns;
        const T* residual = l.residual ? static_cast<const T*>(l.residual) + row * l.columns : nullptr;
        DropRow drop(mask, row);
        for_columns(l.columns, [&](int64_t j, auto count) {
            f32v value = drop(load(x + j, count), j);
            if (residual) value += load(residual + j, count);
            store(z + j, value, count);
            total += load(z + j, count);  // the statistics are those of the stored z, which backward will read
        });
        x = z;
    } else {
        total = lane_sums(l.columns, source);
    }
    const Moments m = moments(l.columns, l.epsilon, total, source);
    l.mean[row] = m.mean;
    l.rstd[row] = m.rstd;
    for_columns(l.columns, [&](int64_t j, auto count) {
        store(y + j, normalize(load(x + j, count), m, l.gain + j, l.bias + j, count), count);
    });
}

template <typename T, typename DropRow>
void backward_rows(const LayerNormBackward& l, const DropoutMask& mask, int64_t begin, int64_t end, float* partials) {
    float *dgain = partials, *dbias = dgain + l.columns, *dx_sum = dbias + l.columns;
    std::fill_n(partials, 3 * l.columns, 0.0f);
    for (int64_t row = begin; row < end; ++row) {
        const T* dy = static_cast<const T*>(l.dy) + row * l.columns;
        const T* z = static_cast<const T*>(l.z) + row * l.columns;
        T* dz = static_cast<T*>(l.dz) + row * l.columns;
        T* dx = l.dx ? static_cast<T*>(l.dx) + row * l.columns : nullptr;
        DropRow drop(mask, row);
        layernorm_backward_row(
            l.columns, {l.mean[row], l.rstd[row]}, l.gain, dgain, dbias,
            [&](int64_t j, auto count) { return load(z + j, count); },
            [&](int64_t j, auto count) { return load(dy + j, count); },
            [&](int64_t j, auto count, f32v gradient) {
                store(dz + j, gradient, count);
                const f32v through = drop(gradient, j);
                if (dx) store(dx + j, through, count);
                add_to(dx_sum + j, through, count);
            });
    }
}

}  // namespace

void layernorm_forward(const LayerNormForward& l, Context&) {
    const DropoutMask mask(l.dropout, l.rows_per_sequence);
    with_dropout_row(l.dtype, l.dropout, [&]<typename T, typename DropRow>() {
        parallel_for(l.rows, l.rows * l.columns, [&](int64_t row) { forward_row<T, DropRow>(l, mask, row); });
    });
}

void layernorm_backward(const LayerNormBackward& l, Context&) {
    const DropoutMask mask(l.dropout, l.rows_per_sequence);
    auto* partials = static_cast<float*>(l.scratch);
    const int64_t stride = 3 * l.columns;
    with_dropout_row(l.dtype, l.dropout, [&]<typename T, typename DropRow>() {
        parallel_row_blocks(l.rows, l.columns, [&](int64_t block, int64_t begin, int64_t end) {
            backward_rows<T, DropRow>(l, mask, begin, end, partials + block * stride);
        });
    });
    const int64_t blocks = row_blocks(l.rows);
    add_partials(partials, blocks, stride, l.columns, l.dgain, l.accumulate);
    add_partials(partials + l.columns, blocks, stride, l.columns, l.dbias, l.accumulate);
    if (l.dx_sum) add_partials(partials + 2 * l.columns, blocks, stride, l.columns, l.dx_sum, l.accumulate);
}

}  // namespace dropforge::kernels::on_cpu
