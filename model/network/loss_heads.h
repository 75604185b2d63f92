// The heads of a pass together: which rows of the last layer's output they read, losses, gradients back into those
// rows.
#pragma once

#include <string>
#include <vector>

#include "model/network/builder.h"

namespace dropforge {

/// Rows of the last layer's output that losses read. Where not all are needed, the last layer computes these only
/// (docs/algorithms.md, "Last-layer subset").
struct LossRows {
    Tensor queries = {};  // i32 [B,R]: rows that the last layer computes; absent: all
    Tensor masked = {};   // i32 [B,M]: masked positions among the rows computed; absent: they are all
    Tensor cls = {};      // i32 [B,1]: [CLS] among them; absent: as above

    /// Absent: all rows computed.
    Tensor of(HeadRows rows) const {
        if (rows == HeadRows::all) return {};
        return rows == HeadRows::masked ? masked : cls;
    }
};

/// Who reads the last layer's output.
struct Readers {
    bool masked = false, cls = false;  // HeadRows of losses; ScTD's divergence of [CLS]
    bool all = false;                  // HeadRows of losses; ScTD's divergence of mean rows

    explicit Readers(std::span<const LossHeadPointer> losses);
};

/// Binds the inputs that these readers need: masked_positions [B,M] of the sequence where all rows are computed or only
/// these are read; else loss_rows [B,M+1] ([CLS], then the masked positions), masked_rows [B,M] (1 … M); cls_row [B,1]
/// (0).
LossRows loss_rows(Builder& builder, const Readers& readers);

/// The rows `index` of y [B*S,h], under the given name; y itself where there is no index.
Tensor picked_rows(Builder& builder, const std::string& name, Tensor y, Tensor index);

/// The losses of a pass, to be differentiated.
struct Losses {
    struct OfHead {
        std::string name;
        Tensor index;  // of its rows in the last layer's output; absent: they are all of it
        HeadBackward backward;
    };
    std::vector<OfHead> heads = {};
    Shape shape;  // of the last layer's output
};

/// The losses of builder.options.heads on the last layer's output y.
Losses losses_forward(Builder& builder, Tensor y, const LossRows& rows, PassName pass);
/// The gradient at y.
Tensor losses_backward(Builder& builder, const Losses& losses);

/// Sums up the main pass's MLM losses by token id into importance_sums, importance_counts [V], where the options ask
/// for it and the Program has an MLM head.
void record_importance(Builder& builder);

}  // namespace dropforge
