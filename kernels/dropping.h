// The operations of token dropping and ScTD: a part of kernels/kernels.h, with the same conventions.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/dtype.h"

namespace dropforge::kernels {

// ------------------------------------------------------------------------------------------------------ token dropping
/// The value of each position: values[b,s] = table[ids[b,s]], plus, if `noise` is given, a draw u from [0, 1): u =
/// 2^-24 * (word >> 8), word s % 4 of philox4x32({s / 4, noise[3] + b, site, noise[2]}, key noise[0..1]).
struct TokenValues {
    const int32_t* ids;     // [batch,sequence]
    const float* table;     // [V]
    const uint32_t* noise;  // [4] as Dropout::state, or nullptr
    float* values;          // [batch,sequence]
    int64_t batch, sequence;
    uint32_t site;
};
/// The `keep` positions of each sequence that are kept (Hou et al. 2022, section 3.2): real ones before padding, larger
/// values first (-0 = +0), of equal values the lower position; written in ascending order of position. Whatever the
/// values, NaN included, exactly `keep` distinct positions are kept.
struct TopK {
    const float* values;     // [batch,sequence]
    const int32_t* lengths;  // [batch] number of real positions, which come first, 1 … sequence; nullptr: all
    int32_t* kept;           // [batch,keep]
    int32_t* kept_lengths;   // [batch] number of real positions kept, min(length, keep), which come first; or nullptr
    int64_t batch, sequence, keep;  // 1 ≤ keep ≤ sequence
};
/// all[b,p] = rows[b,r] where index[b,r] = p, else rest[b,p]: merges the computed rows with those that were dropped.
struct MergeRows {
    const void* rows;      // [batch*count, columns]
    const int32_t* index;  // [batch,count] distinct and ascending in each sequence, 0 … per_sequence-1
    const void* rest;      // [batch*per_sequence, columns]
    void* all;             // [batch*per_sequence, columns]; may be rest itself
    int64_t batch, count, per_sequence, columns;
    DType dtype;
};
/// Backward of MergeRows: rows = all at the indexed positions; rest (+)= all at the others, and 0 at the indexed ones.
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
/// table[v] = beta * table[v] + (1 - beta) * sums[v] / counts[v] where counts[v] > 0; other entries keep their bits;
/// then the fixed values are set, in order (docs/algorithms.md, "Token dropping"). If the norm is not finite, nothing
/// changes.
struct ImportanceUpdate {
    const float *sums, *counts;  // [vocabulary]
    float* table;                // [vocabulary]
    const float* norm;           // [1] gradient norm of the step
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
/// dx[b,r] (+)= dpooled[b] / n for r < n, 0 from row n on.
struct PoolBackward {
    const float* dpooled;
    const int32_t* lengths;
    void* dx;
    int64_t batch, per_sequence, columns, count;
    DType dtype;
    bool accumulate;
};
/// KL divergence of each row's distributions over the columns (Zhong et al. 2023, equations 4 and 5): with t =
/// softmax(target), p = softmax(input): kl = Σ t·(log t - log p). If gradient_scale is given, also the gradients, times
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
