// The parameters of BERT in one flat arena: their list, where they lie, what Hugging Face calls them, and how they
// start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "kernels/kernels.h"
#include "model/network/bert_config.h"
#include "model/network/head.h"

namespace dropforge {

/// One of Hugging Face's tensors: a run of elements of the arena (query, key and value are a third each of the fused
/// qkv parameter).
struct HfTensor {
    std::string name;
    Shape shape;
    int64_t offset;              // elements into the arena
    bool decay;                  // not biases and LayerNorm parameters (docs/algorithms.md, "Optimizers")
    const Head* head = nullptr;  // whose it is; nullptr: of the embeddings or the encoder
};

class Parameters {
  public:
    /// Index of a parameter; -1: the model has none such.
    using Index = int32_t;
    struct Linear {
        Index weight = -1, bias = -1;  // [out,in], [out]: y = x·Wᵀ + b
    };
    struct Norm {
        Index gain = -1, bias = -1;  // [h]
    };
    struct Layer {
        Linear qkv, projection, fc1, fc2;  // qkv [3h,h]: query, key, value
        Norm attention_norm, output_norm;
    };
    struct Entry {
        std::string name;  // "layer3/qkv/weight"
        Shape shape;
        int64_t offset;  // elements
    };

    Parameters(const BertConfig& config, const Heads& heads);

    const BertConfig& config() const { return config_; }
    const Heads& heads() const { return heads_; }
    const std::vector<Entry>& entries() const { return entries_; }
    /// In Hugging Face's order of modules.
    const std::vector<HfTensor>& tensors() const { return tensors_; }
    /// Values of all tensors.
    int64_t count() const;
    /// Elements of the arena, padding included. The gradient, moment and bf16 arenas have the same layout.
    int64_t size() const { return size_; }
    /// The parameter of that name; throws Error if there is none.
    Index index(const std::string& name) const;
    Linear linear(const std::string& name) const { return {index(name + "/weight"), index(name + "/bias")}; }
    Norm norm(const std::string& name) const { return {index(name + "/gain"), index(name + "/bias")}; }

    /// Whether a step with these losses has a gradient for the tensor: not if it belongs to another head.
    static bool learns(const HfTensor& tensor, std::span<const LossHeadPointer> losses);
    /// The pieces that the optimizer updates in such a step.
    std::vector<kernels::Segment> segments(std::span<const LossHeadPointer> losses) const;

    /// Initial weights as config().init says (docs/algorithms.md, "Initial weights"): zero biases, unit gains, and
    /// tensor by tensor from `seed` what is drawn, so that a tensor's values do not depend on the others. `arena` is
    /// all zero before.
    void initialize(float* arena, uint64_t seed) const;

    Index word = -1, position = -1, type = -1;  // word [padded vocabulary, h]
    Norm embedding_norm;
    std::vector<Layer> layers;

  private:
    friend class ParameterAdder;

    void add_embeddings(ParameterAdder& add);
    void add_layer(ParameterAdder& add, int64_t index);

    BertConfig config_;
    Heads heads_;
    std::vector<Entry> entries_;
    std::vector<HfTensor> tensors_;
    int64_t size_ = 0;
};

/// Adds parameters to an arena in the making.
class ParameterAdder {
  public:
    /// Those of `head`; nullptr: of the embeddings and the encoder.
    ParameterAdder(Parameters& parameters, const Head* head) : parameters_(parameters), head_(head) {}

    const Parameters& parameters() const { return parameters_; }
    const BertConfig& config() const { return parameters_.config(); }
    Parameters::Index add(const std::string& name, const Shape& shape);
    /// Elements of the parameter from `first` on are Hugging Face's tensor `hf`.
    void hf_tensor(Parameters::Index parameter, const std::string& hf, const Shape& shape, int64_t first = 0);
    /// name/weight and name/bias; in Hugging Face's files hf.weight and hf.bias.
    Parameters::Linear linear(const std::string& name, const std::string& hf, int64_t out, int64_t in);
    /// name/gain and name/bias; in Hugging Face's files hf.weight and hf.bias.
    Parameters::Norm norm(const std::string& name, const std::string& hf);

  private:
    Parameters& parameters_;
    const Head* head_;
};

}  // namespace dropforge
