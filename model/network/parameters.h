// The parameters of BERT in one flat arena: which there are, where they lie, what Hugging Face calls them, and how they
// start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/tensor.h"
#include "kernels/kernels.h"
#include "model/network/bert_config.h"

namespace dropforge {

/// One of Hugging Face's tensors: a run of elements of the arena (query, key and value are a third each of the fused
/// qkv parameter).
struct HfTensor {
    std::string name;
    Shape shape;
    int64_t offset;  // elements into the arena
    bool decay;      // not biases and LayerNorm parameters (docs/algorithms.md, "Optimizers")
};

/// Which parts a model has besides embeddings and encoder.
struct Heads {
    bool mlm = true, pooler = false, next_sentence = false;  // next_sentence wants the pooler
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
    /// Elements of the arena, padding included. The gradient, moment and bf16 arenas have the same layout.
    int64_t size() const { return size_; }
    /// The pieces that the optimizer updates: all, or all but pooler and NSP head, which MLM alone does not touch.
    std::vector<kernels::Segment> segments(bool with_next_sentence) const;
    /// Whether MLM alone leaves this tensor untouched.
    static bool next_sentence_only(const HfTensor& tensor);

    /// Initial weights as config().init says (docs/algorithms.md, "Initial weights"): zero biases, unit gains, and
    /// tensor by tensor from `seed` what is drawn, so that a tensor's values do not depend on the others. `arena` is
    /// all zero before.
    void initialize(float* arena, uint64_t seed) const;

    Index word = -1, position = -1, type = -1;  // word [padded vocabulary, h]
    Norm embedding_norm;
    std::vector<Layer> layers;
    Linear transform;  // of the MLM head
    Norm transform_norm;
    Index decoder = -1;       // [padded V, h]: the word table, unless config().tied_decoder is off
    Index decoder_bias = -1;  // [padded V]
    Linear pooler, next_sentence;

  private:
    Index add(const std::string& name, const Shape& shape);
    Linear add_linear(const std::string& name, const std::string& hf, int64_t out, int64_t in);
    Norm add_norm(const std::string& name, const std::string& hf);
    void add_layer(int64_t index);
    void add_decoder();
    void name(Index parameter, const std::string& hf, const Shape& shape, int64_t first = 0);

    BertConfig config_;
    Heads heads_;
    std::vector<Entry> entries_;
    std::vector<HfTensor> tensors_;
    int64_t size_ = 0;
};

}  // namespace dropforge
