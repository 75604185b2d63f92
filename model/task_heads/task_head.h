// The heads that a model is fine-tuned with, as Hugging Face's classes have them (docs/finetuning.md, "Network"): rows
// of the last layer's output, for most the pooler, dropout, and a linear layer whose logits are f32.
#pragma once

#include <memory>

#include "model/network/builder.h"
#include "model/network/head.h"

namespace dropforge {

/// A loss head that can also be asked for its logits alone. Inputs of its loss, beside names::kTaskScale and
/// kTaskTotals:
///   classifier  task_labels i32 [B], task_weights f32 [B]
///   regression  task_values f32 [B], task_weights f32 [B]
///   choice      task_labels i32 [B/N], task_weights f32 [B/N]
///   token       task_labels i32 [B*S], task_weights f32 [B*S]
///   span        span_starts i32 [B], span_ends i32 [B], task_weights f32 [B]
/// Weights are those of the losses; 0 is for what has no label: the filling of a batch, pieces within words.
class TaskHead : public LossHead {
  public:
    /// f32: [B,C], choice [B,1], token [B*S,C], span [B*S,2], start and end.
    virtual Tensor logits(Builder& builder, Tensor rows) const = 0;
    /// The second dimension of logits.
    virtual int64_t columns() const = 0;
};
using TaskHeadPointer = std::shared_ptr<const TaskHead>;

/// Softmax over `classes` of [CLS] after the pooler; cross-entropy (BertForSequenceClassification). `dropout`: before
/// the linear layer.
TaskHeadPointer classifier_head(int64_t classes, float dropout);
/// A number from [CLS] after the pooler; squared error (BertForSequenceClassification with one label).
TaskHeadPointer regression_head(float dropout);
/// Softmax over the `choices` sequences of an item, one after the other in the batch, each with a logit of [CLS] after
/// the pooler; cross-entropy (BertForMultipleChoice).
TaskHeadPointer choice_head(int64_t choices, float dropout);
/// Softmax over `classes` at every position; cross-entropy (BertForTokenClassification).
TaskHeadPointer token_head(int64_t classes, float dropout);
/// Softmax of the start and of the end over the positions of a sequence; the mean of the two cross-entropies
/// (BertForQuestionAnswering).
TaskHeadPointer span_head();

/// Logits of a batch without dropout, bound as "logits" f32 (TaskHead::logits). Inputs input_ids, token_type_ids,
/// lengths. The last layer computes only rows that the head reads.
Program task_logits(const Parameters& parameters, const BuildOptions& options, const TaskHead& head);

}  // namespace dropforge
