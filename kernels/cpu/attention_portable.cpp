// Attention for CPUs without AVX-512 (bf16: without AVX512-BF16): row by row in f32, vectors along the head's columns.
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/dtype.h"
#include "kernels/scratch.h"

namespace dropforge::kernels::on_cpu {

namespace {

/// A head's rows as f32, columns filled up with 0 to whole vectors: [rows, depth].
template <typename T>
void widen_rows(const T* from, int64_t stride, int64_t rows, int64_t columns, float* to, int64_t depth) {
    for (int64_t i = 0; i < rows; ++i)
        for_columns(columns,
                    [&](int64_t d, auto part) { store(to + i * depth + d, load(from + i * stride + d, part)); });
}
template <typename T>
void narrow_row(const float* from, int64_t columns, T* to) {
    for_columns(columns, [&](int64_t d, auto part) { store(to + d, load(from + d), part); });
}

float dot(const float* a, const float* b, int64_t depth) {
    f32v total{};
    for (int64_t d = 0; d < depth; d += kLanes) total += load(a + d) * load(b + d);
    return sum(total);
}
/// y += factor * x.
void add(float* y, float factor, const float* x, int64_t depth) {
    for (int64_t d = 0; d < depth; d += kLanes) store(y + d, load(y + d) + factor * load(x + d));
}

int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

/// s[j] = exp(s[j] + shift) for j < n; returns their sum.
float exponentials(float* s, float shift, int64_t n) {
    f32v total{};
    for_columns(n, [&](int64_t j, auto part) {
        const f32v e = only(part, exp(load(s + j, part) + shift));
        store(s + j, e, part);
        total += e;
    });
    return sum(total);
}

/// What dropout multiplies column j of a row by.
float factor_of(const DropoutMask& dropout, const uint64_t* bits, int64_t j) {
    return bits[j / 64] >> (j % 64) & 1 ? dropout.scale() : 0.0f;
}

template <typename T>
void forward(const AttentionForward& a, const Head& head, const DropoutMask& dropout, void* scratch) {
    const int64_t depth = padded(a.head_size);
    Scratch space(scratch);
    float *k = space.take<float>(a.rows_kv * depth), *v = space.take<float>(a.rows_kv * depth);
    float *q = space.take<float>(depth), *out = space.take<float>(depth), *p = space.take<float>(padded(a.rows_kv));
    auto* bits = space.take<uint64_t>(mask_words(a.rows_kv));
    widen_rows(static_cast<const T*>(a.k) + head.kv, a.stride_kv, head.keys, a.head_size, k, depth);
    widen_rows(static_cast<const T*>(a.v) + head.kv, a.stride_kv, head.keys, a.head_size, v, depth);
    for (int64_t i = 0; i < a.rows_q; ++i) {
        widen_rows(static_cast<const T*>(a.q) + head.q + i * a.stride_q, 0, 1, a.head_size, q, depth);
        for (int64_t j = 0; j < head.keys; ++j) p[j] = a.scale * dot(q, k + j * depth, depth);
        const float top = *std::max_element(p, p + head.keys), total = exponentials(p, -top, head.keys);
        a.lse[head.row + i] = top + std::log(total);
        if (a.dropout.active()) dropout.fill(head.row + i, head.keys, bits);
        std::fill_n(out, depth, 0.0f);
        for (int64_t j = 0; j < head.keys; ++j)
            add(out, p[j] / total * (a.dropout.active() ? factor_of(dropout, bits, j) : 1.0f), v + j * depth, depth);
        narrow_row(out, a.head_size, static_cast<T*>(a.out) + head.out + i * a.stride_out);
    }
}

template <typename T>
void backward(const AttentionBackward& a, const Head& head, const DropoutMask& dropout, void* scratch) {
    const int64_t depth = padded(a.head_size);
    Scratch space(scratch);
    float *k = space.take<float>(a.rows_kv * depth), *v = space.take<float>(a.rows_kv * depth);
    float *dk = space.take<float>(a.rows_kv * depth), *dv = space.take<float>(a.rows_kv * depth);
    float *q = space.take<float>(depth), *dq = space.take<float>(depth), *dout = space.take<float>(depth);
    float *out = space.take<float>(depth), *p = space.take<float>(padded(a.rows_kv));
    auto* bits = space.take<uint64_t>(mask_words(a.rows_kv));
    widen_rows(static_cast<const T*>(a.k) + head.kv, a.stride_kv, head.keys, a.head_size, k, depth);
    widen_rows(static_cast<const T*>(a.v) + head.kv, a.stride_kv, head.keys, a.head_size, v, depth);
    for (float* gradient : {dk, dv}) std::fill_n(gradient, a.rows_kv * depth, 0.0f);
    for (int64_t i = 0; i < a.rows_q; ++i) {
        widen_rows(static_cast<const T*>(a.q) + head.q + i * a.stride_q, 0, 1, a.head_size, q, depth);
        widen_rows(static_cast<const T*>(a.out) + head.out + i * a.stride_out, 0, 1, a.head_size, out, depth);
        widen_rows(static_cast<const T*>(a.dout) + head.out + i * a.stride_out, 0, 1, a.head_size, dout, depth);
        for (int64_t j = 0; j < head.keys; ++j) p[j] = a.scale * dot(q, k + j * depth, depth);
        exponentials(p, -a.lse[head.row + i], head.keys);
        if (a.dropout.active()) dropout.fill(head.row + i, head.keys, bits);
        const float delta = dot(dout, out, depth);
        std::fill_n(dq, depth, 0.0f);
        for (int64_t j = 0; j < head.keys; ++j) {
            const float factor = a.dropout.active() ? factor_of(dropout, bits, j) : 1.0f;
            const float ds = a.scale * p[j] * (factor * dot(dout, v + j * depth, depth) - delta);
            add(dv + j * depth, factor * p[j], dout, depth);
            add(dk + j * depth, ds, q, depth);
            add(dq, ds, k + j * depth, depth);
        }
        narrow_row(dq, a.head_size, static_cast<T*>(a.dq) + head.q + i * a.stride_q);
    }
    for (int64_t j = 0; j < a.rows_kv; ++j) {
        narrow_row(dk + j * depth, a.head_size, static_cast<T*>(a.dk) + head.kv + j * a.stride_kv);
        narrow_row(dv + j * depth, a.head_size, static_cast<T*>(a.dv) + head.kv + j * a.stride_kv);
    }
}

/// run(head, dropout, scratch of the thread) for every head of every sequence.
template <typename Attention, typename Run>
void for_heads(const Attention& a, Run&& run) {
    const DropoutMask dropout(a.dropout, a.heads * a.rows_q);
    const int64_t bytes = attention_thread_bytes(a.head_size, a.rows_q, a.rows_kv);
#pragma omp parallel for schedule(dynamic)
    for (int64_t task = 0; task < a.batch * a.heads; ++task)
        run(Head(a, task), dropout, static_cast<char*>(a.scratch) + omp_get_thread_num() * bytes);
}

}  // namespace

void attention_forward_portable(const AttentionForward& a) {
    with_cpu_type(a.dtype,
                  [&](auto type) { for_heads(a, [&](auto&&... where) { forward<decltype(type)>(a, where...); }); });
}

void attention_backward_portable(const AttentionBackward& a) {
    with_cpu_type(a.dtype,
                  [&](auto type) { for_heads(a, [&](auto&&... where) { backward<decltype(type)>(a, where...); }); });
}

}  // namespace dropforge::kernels::on_cpu
