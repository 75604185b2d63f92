// A head: parameters in addition to those of embeddings and encoder, and the loss that it makes of rows of the last
// layer's output. A head without a loss serves others: the pooler.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/tensor.h"

namespace dropforge {

class Builder;
class ParameterAdder;

class Head {
  public:
    Head() = default;
    virtual ~Head() = default;
    Head(const Head&) = delete;
    Head& operator=(const Head&) = delete;

    /// For people: "MLM head".
    virtual const char* title() const = 0;
    /// What Hugging Face's names of its tensors begin with: a checkpoint with such a tensor has the head.
    virtual const char* hf_prefix() const = 0;
    /// The class of Hugging Face that a model of the encoder and this head is.
    virtual const char* architecture() const = 0;
    /// The head whose parameters it works with too; nullptr: none.
    virtual std::shared_ptr<const Head> base() const { return nullptr; }
    virtual void add_parameters(ParameterAdder& parameters) const = 0;
};
using HeadPointer = std::shared_ptr<const Head>;

/// Rows of the last layer's output [B*S,h].
enum class HeadRows : uint8_t {
    masked,  // [B*M]: the masked positions
    cls,     // [B]: [CLS]
    all      // [B*S]: every position
};

/// Which of a step's passes over a batch a loss belongs to.
enum class PassName : uint8_t {
    main,
    full  // of ScTD, without dropping
};

/// Adds the ops of a head's backward pass: parameter gradients, and the gradient at its rows, which it returns.
using HeadBackward = std::function<Tensor(Builder&)>;

class LossHead : public Head {
  public:
    /// Of the bound tensors that it exchanges with a step, and of the numbers that a step gives.
    struct Names {
        const char* head;                       // begins the names of its ops: "mlm"
        const char* scale;                      // f32 [1]: what its gradient is multiplied with
        std::array<const char*, 2> totals;      // f32 [3], by PassName: sum of the losses, count, hits
        std::array<const char*, 2> loss;        // by PassName: the sum of the losses, in nats
        const char *count = "", *correct = "";  // of the main pass
        const char* accuracy = "";              // in metrics.jsonl

        const char* totals_of(PassName pass) const { return totals[static_cast<size_t>(pass)]; }
        const char* loss_of(PassName pass) const { return loss[static_cast<size_t>(pass)]; }
    };

    virtual const Names& names() const = 0;
    virtual HeadRows rows() const = 0;
    /// The loss of `rows` [R,h] against the labels of the batch, and in training its gradient at the logits.
    virtual HeadBackward forward(Builder& builder, Tensor rows, PassName pass) const = 0;
};
using LossHeadPointer = std::shared_ptr<const LossHead>;
using LossHeads = std::vector<LossHeadPointer>;

/// Masked-language modelling (model/network/mlm_head.cpp).
const LossHeadPointer& mlm_head();
/// tanh pooler over [CLS] (model/network/pooler.cpp).
const HeadPointer& pooler();
/// Next-sentence prediction (model/network/nsp_head.cpp).
const LossHeadPointer& nsp_head();

/// The losses of pretraining: MLM, and NSP where sequences are sentence pairs.
LossHeads pretraining_losses(bool pairs);
/// The list of all heads that a checkpoint of pretraining may have.
std::span<const HeadPointer> all_heads();
/// Whose tensor that is, by Hugging Face's name; nullptr: none of all_heads().
const Head* head_of_tensor(std::string_view hf_name);

/// The heads of a model, each once, those without a loss first, as Hugging Face has them in the encoder's module.
class Heads {
  public:
    Heads() = default;
    Heads(std::initializer_list<HeadPointer> heads);
    explicit Heads(const LossHeads& losses);

    /// With its base.
    void add(const HeadPointer& head);
    bool has(const HeadPointer& head) const;
    bool any_loss() const;
    /// The class of Hugging Face that a model with these is.
    const char* architecture() const;
    auto begin() const { return heads_.begin(); }
    auto end() const { return heads_.end(); }

  private:
    std::vector<HeadPointer> heads_;
};

}  // namespace dropforge
