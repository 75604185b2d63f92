// The names of the tensors that callers bind, each once: a Program declares a tensor by its name, with shape and type,
// and whoever gives it memory, fills it or reads it finds it by the same name.
#pragma once

#include <cstdint>
#include <string>

namespace dropforge::names {

// ------------------------------------------------------------------------------------------------------------- a batch
inline constexpr const char* kInputIds = "input_ids";                       // i32 [B,S]
inline constexpr const char* kTokenTypeIds = "token_type_ids";              // i32 [B,S]
inline constexpr const char* kLengths = "lengths";                          // i32 [B]
inline constexpr const char* kMaskedPositions = "masked_positions";         // i32 [B,M]
inline constexpr const char* kMaskedLabels = "masked_labels";               // i32 [B*M]
inline constexpr const char* kMaskedWeights = "masked_weights";             // f32 [B*M]
inline constexpr const char* kNextSentenceLabels = "next_sentence_labels";  // i32 [B]

// What a task's head learns from (model/task_heads/task_head.h).
inline constexpr const char* kTaskLabels = "task_labels";    // i32
inline constexpr const char* kTaskValues = "task_values";    // f32
inline constexpr const char* kTaskWeights = "task_weights";  // f32
inline constexpr const char* kSpanStarts = "span_starts";    // i32 [B]
inline constexpr const char* kSpanEnds = "span_ends";        // i32 [B]

// Rows that losses read (model/network/loss_heads.h).
inline constexpr const char* kLossRows = "loss_rows";      // i32 [B,M+1]
inline constexpr const char* kMaskedRows = "masked_rows";  // i32 [B,M]
inline constexpr const char* kClsRow = "cls_row";          // i32 [B,1]

// -------------------------------------------------------------------------------------------------------------- a step
inline constexpr const char* kMlmScale = "mlm_scale";          // f32 [1]
inline constexpr const char* kNspScale = "nsp_scale";          // f32 [1]
inline constexpr const char* kTaskScale = "task_scale";        // f32 [1]
inline constexpr const char* kDropoutState = "dropout_state";  // i32 [4], kernels::Dropout::state

// Results.
inline constexpr const char* kPositionLoss = "position_loss";  // f32 [B*M]
inline constexpr const char* kMlmTotals = "mlm_totals";        // f32 [3]
inline constexpr const char* kNspTotals = "nsp_totals";        // f32 [3]
inline constexpr const char* kTaskTotals = "task_totals";      // f32 [3]
// Of an evaluation, since its last batch may be longer than what is left.
inline constexpr const char* kSequenceLoss = "sequence_loss";        // f32 [B], of the NSP head
inline constexpr const char* kSequenceCorrect = "sequence_correct";  // f32 [B] 1 or 0

// ---------------------------------------------------------------------------------------------------------- the update
// Arenas of all parameters.
inline constexpr const char* kParameters = "parameters";
inline constexpr const char* kGradients = "gradients";
inline constexpr const char* kMoment1 = "moment1";
inline constexpr const char* kMoment2 = "moment2";
inline constexpr const char* kCopy = "copy";  // bf16 or fp16

inline constexpr const char* kGradientNorm = "gradient_norm";    // f32 [1]
inline constexpr const char* kUpdateScalars = "update_scalars";  // kernels::UpdateScalars
inline constexpr const char* kScaledScalars = "scaled_scalars";  // the same, with the loss scale taken out
inline constexpr const char* kLossScale = "loss_scale";          // kernels::LossScale

// -------------------------------------------------------------------------------------------------------- a parameter
// By its name in Parameters::Entry: f32 values, 16-bit copy, f32 gradient.
inline constexpr const char* kMasterPrefix = "parameter/";
inline constexpr const char* kCopyPrefix = "copy/";
inline constexpr const char* kGradientPrefix = "gradient/";
inline std::string master(const std::string& parameter) { return kMasterPrefix + parameter; }
inline std::string copy(const std::string& parameter) { return kCopyPrefix + parameter; }
inline std::string gradient(const std::string& parameter) { return kGradientPrefix + parameter; }

// ------------------------------------------------------------------------------------------------------- hidden states
/// f32 [B*S,h]: 0 of the embeddings, i + 1 of layer i.
inline std::string hidden(int64_t i) { return "hidden/" + std::to_string(i); }
inline constexpr const char* kLogits = "logits";  // f32 [B*M, padded V]; of a task as TaskHead::logits() says
inline constexpr const char* kSentenceVectors = "sentence_vectors";  // f32 [B,h]

// ------------------------------------------------------------------------------------------------------------- methods
// Rows that a step works on.
inline constexpr const char* kKeptPositions = "kept_positions";  // i32 [B,K]
inline constexpr const char* kKeptLengths = "kept_lengths";      // i32 [B] real ones among them
// Token dropping.
inline constexpr const char* kImportance = "importance";               // f32 [V]
inline constexpr const char* kImportanceSums = "importance_sums";      // f32 [V]
inline constexpr const char* kImportanceCounts = "importance_counts";  // f32 [V]
// ScTD.
inline constexpr const char* kKlScale = "kl_scale";                 // f32 [1]
inline constexpr const char* kKlLocal = "kl_local";                 // f32 [B]
inline constexpr const char* kKlGlobal = "kl_global";               // f32 [B]
inline constexpr const char* kMlmTotalsFull = "mlm_totals_full";    // f32 [3]
inline constexpr const char* kNspTotalsFull = "nsp_totals_full";    // f32 [3]
inline constexpr const char* kTaskTotalsFull = "task_totals_full";  // f32 [3]

}  // namespace dropforge::names
