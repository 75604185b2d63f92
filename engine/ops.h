// Builders of the operations of any transformer: each appends a kernel call to a Program, checks shapes (Error names
// the op, what was expected and what came) and counts FLOPs. Tensors are rows x columns; an absent tensor is a
// default-constructed one.
#pragma once

#include <string>

#include "engine/program.h"

namespace dropforge::ops {

/// One dropout of the model. `state` is the u32 [4] input of kernels::Dropout, absent if probability is 0.
struct DropoutSite {
    Tensor state = {};
    uint32_t site = 0;
    float probability = 0;

    kernels::Dropout at(const Run& run) const {
        return {.state = run.at<uint32_t>(state), .site = site, .probability = probability};
    }
    bool active() const { return kernels::Dropout{.probability = probability}.active(); }
};

// ---------------------------------------------------------------------------------------------------------------- GEMM
/// The GELU epilogue of kernels::GemmGelu: either output or input, [m,n] as c.
struct GemmGelu {
    kernels::Gelu form = kernels::Gelu::erf;
    Tensor output = {}, input = {};
};
struct GemmArguments {
    Tensor a, b, c;
    Tensor bias = {};  // f32 [n], may be absent
    /// f32 [m], (+)= column sums of a, which is transposed: the bias gradient with the weight gradient; may be absent.
    Tensor bias_gradient = {};
    bool transpose_a = false, transpose_b = false, accumulate = false;
    GemmGelu gelu = {};
    double flops = 0;  // if not 0, counted instead of 2·m·n·k, some of which are spent on padding
};
/// c[m,n] (+)= op(a)·op(b) + bias. m is the number of c's rows; n and k are the sizes of op(b). a and c may have more
/// columns (padding).
void gemm(Program& program, const std::string& name, const GemmArguments& arguments);

// -------------------------------------------------------------------------------------- dropout + residual + LayerNorm
struct LayerNorm {
    Tensor x, residual = {};       // [T,h]; residual may be absent
    Tensor gain, bias;             // f32 [h]
    Tensor z = {}, y, mean, rstd;  // z: the sum that is normalised, may be absent if that is x itself
    int64_t rows_per_sequence = 0;
    float epsilon = 0;
    DropoutSite dropout = {};
};
struct LayerNormGradients {
    Tensor dy;
    Tensor dz;            // [T,h], also the residual's gradient
    Tensor dx;            // [T,h]; absent without dropout, where dz serves
    Tensor dgain, dbias;  // f32 [h]
    Tensor dx_sum = {};   // f32 [h], may be absent
    bool accumulate;
};
void layernorm_forward(Program& program, const std::string& name, const LayerNorm& l);
void layernorm_backward(Program& program, const std::string& name, const LayerNorm& l, const LayerNormGradients& g);

// ----------------------------------------------------------------------------------------------------------- attention
struct Attention {
    Tensor q, k, v;   // views whose rows are stride_q, stride_kv elements apart
    Tensor lengths;   // i32 [B], may be absent
    Tensor out, lse;  // [B*rows_q, h], f32 [B, heads, rows_q]
    int64_t batch, heads, head_size, rows_q, rows_kv, stride_q, stride_kv;
    DropoutSite dropout = {};
};
struct AttentionGradients {
    Tensor dout, dq = {}, dk = {}, dv = {};
};
void attention_forward(Program& program, const std::string& name, const Attention& a);
void attention_backward(Program& program, const std::string& name, const Attention& a, const AttentionGradients& g);

// ----------------------------------------------------------------------------------------------------------- pointwise
void gelu_forward(Program& program, const std::string& name, Tensor x, Tensor y, kernels::Gelu form);
/// dx may take dy's memory. dx_sum is f32 [columns]. y, which may be absent, is the recomputed gelu(x); it may take x's
/// memory if no later op uses x.
void gelu_backward(Program& program, const std::string& name, Tensor dy, Tensor x, Tensor dx, Tensor dx_sum, Tensor y,
                   kernels::Gelu form, bool accumulate);
void tanh_forward(Program& program, const std::string& name, Tensor x, Tensor y);
void tanh_backward(Program& program, const std::string& name, Tensor dy, Tensor y, Tensor dx, Tensor dx_sum,
                   bool accumulate);

/// y = dropout(x), both [rows, columns]; of dy it is the backward. y may be x, or take its memory.
void dropout(Program& program, const std::string& name, Tensor x, Tensor y, int64_t rows_per_sequence,
             const DropoutSite& site);

// ---------------------------------------------------------------------------------------------------------------- rows
/// index i32 [batch, count]; from [batch*per_sequence, h] → to [batch*count, h].
void gather_rows(Program& program, const std::string& name, Tensor from, Tensor index, Tensor to);
enum class Scatter : uint8_t { replace, accumulate, clear_and_accumulate };
void scatter_rows(Program& program, const std::string& name, Tensor from, Tensor index, Tensor to, Scatter mode);

/// all [batch*per_sequence, h] = picked [batch*count, h] where index i32 [batch, count] points, else rest. Indices are
/// distinct and ascending. all may be rest, or take its memory.
void merge_rows(Program& program, const std::string& name, Tensor picked, Tensor index, Tensor rest, Tensor all);
/// Backward of merge_rows: picked = all where index points, rest (+)= all elsewhere. Unless `accumulate`, rest may be
/// all, or take its memory.
void split_rows(Program& program, const std::string& name, Tensor all, Tensor index, Tensor picked, Tensor rest,
                bool accumulate);

// -------------------------------------------------------------------------------------------------------------- losses
struct CrossEntropy {
    Tensor logits;                // [R, stride]; overwritten by its gradient if gradient_scale is given
    Tensor labels, weights = {};  // i32 [R], f32 [R] ≥ 0 (may be absent: all 1)
    Tensor gradient_scale = {};   // f32 [1], may be absent
    Tensor loss_scale = {};       // kernels::LossScale, may be absent
    Tensor loss, correct;         // f32 [R]
    Tensor totals;                // f32 [3]: sums of loss (weights are in it), weight, correct
    int64_t columns;
    bool accumulate;  // totals
};
void cross_entropy(Program& program, const std::string& name, const CrossEntropy& c);

struct SquaredError {
    Tensor predictions;                           // f32 [R]; overwritten by its gradient if gradient_scale is given
    Tensor labels, weights = {};                  // f32 [R], f32 [R] ≥ 0 (may be absent: all 1)
    Tensor gradient_scale = {}, loss_scale = {};  // as CrossEntropy's
    Tensor loss;                                  // f32 [R]
    Tensor totals;                                // f32 [3]: sums of loss, weight, 0
    bool accumulate;                              // totals
};
void squared_error(Program& program, const std::string& name, const SquaredError& s);

/// The borders of a span in each of B sequences, as kernels::SpanLoss has it.
struct SpanLoss {
    Tensor logits;                      // f32 [B*S, 2]; overwritten by its gradient if gradient_scale is given
    Tensor lengths = {}, starts, ends;  // i32 [B]; lengths may be absent
    Tensor weights = {};                // f32 [B] ≥ 0 (may be absent: all 1)
    Tensor gradient_scale = {}, loss_scale = {};  // as CrossEntropy's
    Tensor loss;                                  // f32 [B]
    Tensor totals;                                // f32 [3]: sums of loss, weight, 0
    bool accumulate;                              // totals
};
void span_loss(Program& program, const std::string& name, const SpanLoss& s);

// --------------------------------------------------------------------------------------------------------- elementwise
void cast(Program& program, const std::string& name, Tensor from, Tensor to);
/// to = 0.
void clear(Program& program, const std::string& name, Tensor to);
/// to += x.
void add(Program& program, const std::string& name, Tensor to, Tensor x);

}  // namespace dropforge::ops
