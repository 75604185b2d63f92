// The heads of a pass together: which rows of the last layer's output they read, losses, gradients back into those
// rows.
#pragma once

#include "model/network/builder.h"
#include "model/network/mlm_head.h"
#include "model/network/nsp_head.h"

namespace dropforge {

/// Rows of the last layer's output that losses read. Where not all are needed, the last layer computes these only
/// (docs/algorithms.md, "Last-layer subset").
struct LossRows {
    Tensor queries = {};  // i32 [B,R]: rows that the last layer computes; absent: all
    Tensor mlm = {};      // i32 [B,M]: masked positions among the rows computed; absent: they are all
    Tensor cls = {};      // i32 [B,1]: [CLS] among them; absent: as above
};

/// Who reads the last layer's output.
struct Readers {
    bool mlm = true;   // at the masked positions
    bool cls = false;  // at [CLS]: NSP, ScTD's divergence
    bool all = false;  // everywhere: ScTD's divergence of mean rows
};

/// Binds the inputs that these readers need: masked_positions [B,M] of the sequence where all rows are computed or only
/// MLM reads; else loss_rows [B,M+1] ([CLS], then the masked positions), masked_rows [B,M] (1 … M); cls_row [B,1] (0).
LossRows loss_rows(Builder& builder, const Readers& readers);

/// Names of a pass's results.
enum class PassName : uint8_t {
    main,  // outputs position_loss [B*M], mlm_totals [3], nsp_totals [3]
    full   // ScTD's pass without dropping: mlm_totals_full, nsp_totals_full
};

struct LossHeads {
    LossRows rows;
    Shape shape;  // of the last layer's output
    MlmHead mlm = {};
    NspHead nsp = {};  // if builder.options.next_sentence
};

/// MLM and, with next-sentence labels, NSP on the last layer's output y.
LossHeads loss_heads_forward(Builder& builder, Tensor y, const LossRows& rows, PassName name);
/// The gradient at y.
Tensor loss_heads_backward(Builder& builder, const LossHeads& heads);

/// Sums up the main pass's MLM losses by token id into importance_sums, importance_counts [V], where the options ask
/// for it.
void record_importance(Builder& builder);

}  // namespace dropforge
