// The operations of token dropping and ScTD, part of kernels/kernels.h, whose conventions hold here.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dtype.h"

namespace dropforge::kernels {

// ------------------------------------------------------------------------------------------------------ token dropping
/// What each position is worth: values[b,s] = table[ids[b,s]], + a draw u from [0, 1) if `noise` is given: u = 2^-24 *
/// (word >> 8), word s % 4 of philox4x32({s / 4, noise[3] + b, site, noise[2]}, key noise[0..1]).
struct TokenValues {
    const int32_t* ids;     // [batch,sequence]
    const float* table;     // [V]
    const uint32_t* noise;  // [4] as Dropout::state, or nullptr
    float* values;          // [batch,sequence]
    int64_t batch, sequence;
    uint32_t site;
};
/// The `keep` positions of each sequence that stay (Hou et al. 2022, section 3.2): the first by real before padding,
/// larger value (-0 = +0), lower position; kept in ascending order of position. Whatever the values are, NaN included,
/// exactly `keep` distinct positions come out.
struct TopK {
    const float* values;     // [batch,sequence]
    const int32_t* lengths;  // [batch] real positions come first and are so many, 1 … sequence; nullptr: all
    int32_t* kept;           // [batch,keep]
    int32_t* kept_lengths;   // [batch] min(length, keep): real ones among the kept, which come first; nullptr: no need
    int64_t batch, sequence, keep;  // 1 ≤ keep ≤ sequence
};
/// all[b,p] = rows[b,r] where index[b,r] = p, else rest[b,p]: rows that were dropped come back as they were.
struct MergeRows {
    const void* rows;      // [batch*count, columns]
    const int32_t* index;  // [batch,count] distinct and ascending in each sequence, 0 … per_sequence-1
    const void* rest;      // [batch*per_sequence, columns]
    void* all;             // [batch*per_sequence, columns]; may be rest itself
    int64_t batch, count, per_sequence, columns;
    DType dtype;
};
/// Backward of MergeRows: rows = all at index; rest (+)= all where no index points to, (+)= 0 elsewhere.
struct SplitRows {
    const void* all;       // [batch*per_sequence, columns]
    const int32_t* index;  // [batch,count] as in MergeRows
    void* rows;            // [batch*count, columns]
    void* rest;            // [batch*per_sequence, columns]; may be all itself unless `accumulate`
    int64_t batch, count, per_sequence, columns;
    DType dtype;
    bool accumulate;  // rest
};
/// sums[v], counts[v] (+)= loss[i] and 1 over the slots i with weight > 0 and label v, added in order of i.
struct ImportanceSums {
    const int32_t* labels;  // [n], 0 … vocabulary-1
    const float *weights, *loss;
    float *sums, *counts;  // [vocabulary]; all entries are assigned unless `accumulate`
    int64_t n, vocabulary;
    bool accumulate;
};
/// The value of a token id that no loss changes.
struct FixedValue {
    int32_t id;
    float value;
};
/// table[v] = beta * table[v] + (1 - beta) * sums[v] / counts[v] where counts[v] > 0, else its bits stay; then the
/// fixed values, in order (docs/algorithms.md, "Token dropping"). A norm that is not finite leaves everything as it
/// was.
struct ImportanceUpdate {
    const float *sums, *counts;  // [vocabulary]
    float* table;                // [vocabulary]
    const float* norm;           // [1] of the step's gradients
    std::span<const FixedValue> fixed;
    int64_t vocabulary;
    double beta;
};

// ---------------------------------------------------------------------------------------------- semantic consistency
/// pooled[b] = mean of the first n rows of sequence b, in f32; n = lengths[b], or `count` where lengths is nullptr.
struct PoolForward {
    const void* x;           // [batch*per_sequence, columns]
    const int32_t* lengths;  // [batch] 1 … per_sequence, or nullptr
    float* pooled;           // [batch,columns]
    int64_t batch, per_sequence, columns, count;
    DType dtype;
};
/// dx[b,r] (+)= dpooled[b] / n for r < n; further rows (+)= 0.
struct PoolBackward {
    const float* dpooled;
    const int32_t* lengths;
    void* dx;
    int64_t batch, per_sequence, columns, count;
    DType dtype;
    bool accumulate;
};
/// Divergence of row b's distributions over the columns (Zhong et al. 2023, equations 4 and 5): with t =
/// softmax(target), p = softmax(input): kl = Σ t·(log t - log p). If gradient_scale is given also its gradients, times
/// both scales: dinput = p - t, dtarget = t·(log t - log p - kl).
struct KlDivergence {
    const float *target, *input;        // [rows,columns]: the full pass, the pass with dropped tokens
    const float* gradient_scale;        // [1] or nullptr
    const float* loss_scale = nullptr;  // [1] or nullptr: 1; see LossScale
    float* kl;                          // [rows]
    float *dtarget, *dinput;  // [rows,columns], if gradient_scale is given; may be target and input themselves
    int64_t rows, columns;
};

}  // namespace dropforge::kernels
