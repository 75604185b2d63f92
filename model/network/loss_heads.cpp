#include "model/network/loss_heads.h"

#include <algorithm>

#include "model/network/names.h"
#include "model/ops/dropping_ops.h"

namespace dropforge {

Readers::Readers(std::span<const LossHeadPointer> losses)
    : masked(std::ranges::count(losses, HeadRows::masked, &LossHead::rows) > 0),
      cls(std::ranges::count(losses, HeadRows::cls, &LossHead::rows) > 0),
      all(std::ranges::count(losses, HeadRows::all, &LossHead::rows) > 0) {}

LossRows loss_rows(Builder& builder, const Readers& readers) {
    const int64_t b = builder.options.batch, m = builder.options.masked;
    const auto index = [&](const char* name, int64_t rows) { return builder.input(name, DType::i32, {b, rows}); };
    if (readers.all)
        return {.masked = readers.masked ? index(names::kMaskedPositions, m) : Tensor{},
                .cls = readers.cls ? index(names::kClsRow, 1) : Tensor{}};
    if (!readers.cls) return {.queries = index(names::kMaskedPositions, m)};
    if (!readers.masked) return {.queries = index(names::kClsRow, 1)};
    return {index(names::kLossRows, m + 1), index(names::kMaskedRows, m), index(names::kClsRow, 1)};
}

Tensor picked_rows(Builder& builder, const std::string& name, Tensor y, Tensor index) {
    if (!index) return y;
    const Tensor rows = builder.activation(name, {index.shape.size(), builder.config.hidden});
    ops::gather_rows(builder.program, name, y, index, rows);
    return rows;
}

Losses losses_forward(Builder& builder, Tensor y, const LossRows& rows, PassName pass) {
    Losses losses{.shape = y.shape};
    for (const LossHeadPointer& head : builder.options.heads) {
        const std::string name = head->names().head;
        const Tensor index = rows.of(head->rows());
        losses.heads.push_back(
            {name, index, head->forward(builder, picked_rows(builder, name + "/rows", y, index), pass)});
    }
    return losses;
}

Tensor losses_backward(Builder& builder, const Losses& losses) {
    Tensor dy;
    for (const Losses::OfHead& head : losses.heads) {
        const std::string name = head.name + "/rows.backward";
        const Tensor drows = head.backward(builder);
        const bool first = !dy;
        if (!head.index && first) {
            dy = drows;
        } else if (!head.index) {
            ops::add(builder.program, name, dy, drows);
        } else {
            if (first) dy = builder.activation("loss_rows.gradient", losses.shape);
            ops::scatter_rows(builder.program, name, drows, head.index, dy,
                              first ? ops::Scatter::clear_and_accumulate : ops::Scatter::accumulate);
        }
    }
    return dy;
}

void record_importance(Builder& builder) {
    const LossHeads& heads = builder.options.heads;
    if (!builder.options.importance || std::ranges::count(heads, mlm_head()) == 0) return;
    const int64_t slots = builder.options.batch * builder.options.masked, v = builder.config.vocabulary;
    ops::importance_sums(builder.program, "importance", builder.input(names::kMaskedLabels, DType::i32, {slots}),
                         builder.input(names::kMaskedWeights, DType::f32, {slots}),
                         builder.input(names::kPositionLoss, DType::f32, {slots}),
                         builder.input(names::kImportanceSums, DType::f32, {v}),
                         builder.input(names::kImportanceCounts, DType::f32, {v}), builder.options.accumulate);
}

}  // namespace dropforge
