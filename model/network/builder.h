// What every layer needs to add its ops to a Program: the parameters' tensors, the batch's shape, precision, dropout,
// accumulation.
#pragma once

#include <string>
#include <vector>

#include "engine/ops.h"
#include "engine/program.h"
#include "model/network/parameters.h"

namespace dropforge {

/// How a Program is to be built.
struct BuildOptions {
    int64_t batch = 0, sequence = 0, masked = 0;  // B, S, M: the static shapes of one micro-batch
    DType dtype = DType::f32;                     // of activations, their gradients and the GEMMs' weights
    bool training = false;                        // dropout and backward
    bool keep_gelu = false;                       // GELU's outputs stay for backward, instead of being made again
    bool accumulate = false;                      // add to gradients and totals (all micro-batches but the first)
    bool types = false, lengths = false;          // the batch has token_type_ids, lengths
    LossHeads heads = {mlm_head()};               // whose labels the batch has
    int64_t frozen = 0;                           // n > 0: no gradients of the embeddings and the first n layers
    bool importance = false;                      // MLM losses are summed up by token id, for the importance table
};

class Builder {
  public:
    Builder(Program& program, const Parameters& parameters, const BuildOptions& options);

    Program& program;
    const Parameters& parameters;
    const BertConfig& config;
    const BuildOptions options;

    // Inputs, bound by name.
    Tensor input_ids, token_type_ids, lengths;  // i32 [B,S], [B,S], [B]; absent if the batch has none
    Tensor dropout_state;                       // i32 [4]: kernels::Dropout::state
    Tensor loss_scale;                          // kernels::LossScale; absent unless gradients are fp16

    /// A tensor that the caller binds; the same one if it was asked for before.
    Tensor input(const std::string& name, DType dtype, const Shape& shape);

    Tensor master(Parameters::Index p);    // f32
    Tensor weight(Parameters::Index p);    // as the GEMMs read it: f32, or the 16-bit copy
    Tensor gradient(Parameters::Index p);  // f32; the Program refuses an op that adds to one before it is assigned
    /// Records that the next op writes this parameter's gradient, and returns whether it adds to it: an earlier
    /// micro-batch, or an earlier call for the same parameter in this Program (two passes share their parameters), has
    /// written one.
    bool record_write(Parameters::Index p);
    /// The same of an op that assigns two gradients or adds to both: if only one has something, the other is cleared.
    bool record_write(const std::string& name, Parameters::Index p, Parameters::Index q);
    /// The gradient for an op that can only add: cleared, if nothing has written it yet.
    Tensor gradient_to_add_to(const std::string& name, Parameters::Index p);

    /// A planned tensor of the activations' dtype.
    Tensor activation(const std::string& name, const Shape& shape);
    /// A dropout of the hidden states, of the attention, or of another probability, with a site number of its own: the
    /// same in every Program of the model.
    ops::DropoutSite hidden_dropout(uint32_t site);
    ops::DropoutSite attention_dropout(uint32_t site);
    ops::DropoutSite dropout(uint32_t site, float probability);
    /// From now on the sites are those of pass n (at first 0): a second pass with dropout of its own.
    void dropout_of_pass(uint32_t n) { first_site_ = n * kSitesOfPass; }

    /// y [T,out] = x·Wᵀ + b, and gelu(y) where `gelu` says so.
    Tensor linear(const std::string& name, Tensor x, const Parameters::Linear& l, const ops::GemmGelu& gelu = {});
    /// dW (+)= dyᵀ·x. The bias gradient comes with the kernel that makes dy.
    void weight_gradient(const std::string& name, Tensor dy, Tensor x, const Parameters::Linear& l);
    /// The same with db (+)= the column sums of dy.
    void weight_and_bias_gradient(const std::string& name, Tensor dy, Tensor x, const Parameters::Linear& l);
    /// dx = dy·W; `add`: dx += (it holds the residual's gradient). Or dx is the gradient before the GELU whose
    /// output fed the layer.
    void input_gradient(const std::string& name, Tensor dy, const Parameters::Linear& l, Tensor dx, bool add = false);
    void input_gradient(const std::string& name, Tensor dy, const Parameters::Linear& l, Tensor dx,
                        const ops::GemmGelu& gelu);
    /// Both, weights first.
    void linear_backward(const std::string& name, Tensor dy, Tensor x, const Parameters::Linear& l, Tensor dx,
                         bool add = false);

  private:
    Tensor parameter(std::vector<Tensor>& cache, Parameters::Index p, const std::string& name, DType dtype,
                     Program::Content content = Program::Content::given);

    static constexpr uint32_t kSitesOfPass = 1u << 24;

    std::vector<Tensor> masters_, copies_, gradients_;
    std::vector<bool> written_;  // gradients
    uint32_t first_site_ = 0;
};

/// Site numbers of the model's dropouts, and of other draws.
constexpr uint32_t kEmbeddingDropout = 0;
constexpr uint32_t kClassifierDropout = (1u << 24) - 1;  // before a task's head
constexpr uint32_t kRoutingDraw = 0xffffffff;            // of random routing
constexpr uint32_t attention_site(int64_t layer) { return static_cast<uint32_t>(4 * layer + 1); }
constexpr uint32_t projection_site(int64_t layer) { return static_cast<uint32_t>(4 * layer + 2); }
constexpr uint32_t ffn_site(int64_t layer) { return static_cast<uint32_t>(4 * layer + 3); }

}  // namespace dropforge
