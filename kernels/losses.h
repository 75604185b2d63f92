// The losses: a part of kernels/kernels.h, with the same conventions.
#pragma once

#include <cstdint>

#include "kernels/dtype.h"

namespace dropforge::kernels {

/// Softmax cross-entropy of rows of logits: loss[r] = weight[r] * (logsumexp - logit[label]). If gradient_scale is
/// given, the gradient Σ loss * *gradient_scale * *loss_scale at the logits overwrites them, and columns … stride-1
/// become 0. Rows of weight 0 have loss and gradient 0, whatever their logits.
struct CrossEntropy {
    void* logits;                       // [rows, stride], the first `columns` are classes
    const int32_t* labels;              // [rows], valid classes even where the weight is 0
    const float* weights;               // [rows] ≥ 0; nullptr: all 1
    const float* gradient_scale;        // [1], or nullptr: logits are only read
    const float* loss_scale = nullptr;  // [1] or nullptr: 1; see LossScale
    float* loss;                        // [rows]
    float* correct;                     // [rows] 1 where weight > 0 and the label has the (first) largest logit, else 0
    int64_t rows, columns, stride;
    DType dtype;
};
/// loss[r] = weight[r] * (prediction - label)². If gradient_scale is given, the gradient Σ loss * *gradient_scale *
/// *loss_scale at the predictions overwrites them. Rows of weight 0 have loss and gradient 0.
struct SquaredError {
    float* predictions;                        // [rows]
    const float *labels, *weights;             // [rows]; weights ≥ 0, nullptr: all 1
    const float *gradient_scale, *loss_scale;  // as CrossEntropy's
    float* loss;                               // [rows]
    int64_t rows;
};
/// The loss of a span's borders (Devlin et al. 2019, section 4.2): loss[b] = weight[b] / 2 * (the start's cross-entropy
/// + the end's), each with the softmax over the first lengths[b] positions of sequence b. If gradient_scale is given,
/// the gradient Σ loss * *gradient_scale * *loss_scale at the logits overwrites them; it is 0 at positions from
/// lengths[b] on, whose logits are not read.
/// Sequences of weight 0 have loss and gradient 0, whatever their logits.
struct SpanLoss {
    float* logits;                             // [batch*per_sequence, 2]: start, end
    const int32_t* lengths;                    // [batch], 1 … per_sequence, or nullptr: per_sequence
    const int32_t *starts, *ends;              // [batch] positions below the length
    const float* weights;                      // [batch] ≥ 0; nullptr: all 1
    const float *gradient_scale, *loss_scale;  // as CrossEntropy's
    float* loss;                               // [batch]
    int64_t batch, per_sequence;
};
/// totals[0..2] (+)= sums over rows of loss, weight (1 if nullptr), correct (0 if nullptr). The host divides by the
/// weights once, when all micro-batches have been added.
struct LossTotals {
    const float *loss, *weights, *correct;  // [rows]
    float* totals;                          // [3]
    int64_t rows;
    bool accumulate;
};

}  // namespace dropforge::kernels
