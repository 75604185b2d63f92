// The tables of the reference and of the straightforward implementation; casts, clearing and additions.
#include <cstring>

#include "kernels/reference/loops.h"

namespace dropforge::kernels {

namespace loops {

void cast(const Cast& c, Context&) {
    with_float_type(c.from_dtype, [&](auto from_type) {
        with_float_type(c.to_dtype, [&](auto to_type) {
            using From = decltype(from_type);
            using To = decltype(to_type);
            const auto* from = static_cast<const From*>(c.from);
            auto* to = static_cast<To*>(c.to);
            for (int64_t i = 0; i < c.n; ++i) to[i] = static_cast<To>(static_cast<float>(from[i]));
        });
    });
}

void clear(const Clear& c, Context&) { std::memset(c.to, 0, static_cast<size_t>(c.bytes)); }

template <typename Real>
void add(const Add& a, Context&) {
    with_float_type(a.dtype, [&](auto type) {
        using T = decltype(type);
        for (int64_t i = 0; i < a.n; ++i)
            assign_or_add(static_cast<T*>(a.to)[i], get<Real>(static_cast<const T*>(a.x)[i]), true);
    });
}

}  // namespace loops

namespace {

template <typename Real>
KernelTable make_table(const char* name) {
    return {.name = name,
            .create_context = [] { return std::make_unique<Context>(); },
            .gemm = loops::gemm<Real>,
            .embedding_forward = loops::embedding_forward<Real>,
            .embedding_backward = loops::embedding_backward<Real>,
            .layernorm_forward = loops::layernorm_forward<Real>,
            .layernorm_backward = loops::layernorm_backward<Real>,
            .attention_forward = loops::attention_forward<Real>,
            .attention_backward = loops::attention_backward<Real>,
            .gelu_forward = loops::gelu_forward<Real>,
            .gelu_backward = loops::gelu_backward<Real>,
            .tanh_forward = loops::tanh_forward<Real>,
            .tanh_backward = loops::tanh_backward<Real>,
            .dropout = loops::dropout<Real>,
            .column_sum = loops::column_sum<Real>,
            .gather_rows = loops::gather_rows,
            .scatter_rows = loops::scatter_rows<Real>,
            .cross_entropy = loops::cross_entropy<Real>,
            .squared_error = loops::squared_error<Real>,
            .span_loss = loops::span_loss<Real>,
            .loss_totals = loops::loss_totals<Real>,
            .global_norm = loops::global_norm<Real>,
            .loss_scale = loops::loss_scale,
            .adamw = loops::adamw<Real>,
            .lamb = loops::lamb<Real>,
            .cast = loops::cast,
            .clear = loops::clear,
            .add = loops::add<Real>,
            .token_values = loops::token_values<Real>,
            .top_k = loops::top_k,
            .merge_rows = loops::merge_rows,
            .split_rows = loops::split_rows<Real>,
            .importance_sums = loops::importance_sums<Real>,
            .importance_update = loops::importance_update<Real>,
            .pool_forward = loops::pool_forward<Real>,
            .pool_backward = loops::pool_backward<Real>,
            .kl_divergence = loops::kl_divergence<Real>};
}

}  // namespace

const KernelTable& reference() {
    static const KernelTable table = make_table<double>("reference");
    return table;
}

const KernelTable& straightforward() {
    static const KernelTable table = make_table<float>("straightforward");
    return table;
}

}  // namespace dropforge::kernels
