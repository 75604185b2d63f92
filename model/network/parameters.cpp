#include "model/network/parameters.h"

#include <algorithm>

#include "base/error.h"

namespace dropforge {

namespace {

constexpr int64_t kAlignment = 64;  // elements: 256 bytes of f32, 128 of bf16

bool is_bias_or_norm(const std::string& hf) {
    return hf.ends_with("bias") || hf.find("LayerNorm") != std::string::npos;
}

}  // namespace

Parameters::Parameters(const BertConfig& config, const Heads& heads) : config_(config), heads_(heads) {
    ParameterAdder encoder(*this, nullptr);
    add_embeddings(encoder);
    for (int64_t i = 0; i < config.layers; ++i) add_layer(encoder, i);
    for (const HeadPointer& head : heads) {
        ParameterAdder own(*this, head.get());
        head->add_parameters(own);
    }
}

void Parameters::add_embeddings(ParameterAdder& add) {
    const int64_t h = config_.hidden;
    const std::string hf = "bert.embeddings.";
    word = add.add("embeddings/word", {config_.padded_vocabulary(), h});
    add.hf_tensor(word, hf + "word_embeddings.weight", {config_.vocabulary, h});
    position = add.add("embeddings/position", {config_.max_positions, h});
    add.hf_tensor(position, hf + "position_embeddings.weight", {config_.max_positions, h});
    type = add.add("embeddings/type", {config_.types, h});
    add.hf_tensor(type, hf + "token_type_embeddings.weight", {config_.types, h});
    embedding_norm = add.norm("embeddings/norm", hf + "LayerNorm");
}

void Parameters::add_layer(ParameterAdder& add, int64_t index) {
    const int64_t h = config_.hidden;
    const std::string name = "layer" + std::to_string(index) + "/",
                      hf = "bert.encoder.layer." + std::to_string(index) + ".";
    Layer layer;
    layer.qkv = {add.add(name + "qkv/weight", {3 * h, h}), add.add(name + "qkv/bias", {3 * h})};
    int64_t third = 0;
    for (const char* which : {"query", "key", "value"}) {
        add.hf_tensor(layer.qkv.weight, hf + "attention.self." + which + ".weight", {h, h}, third * h * h);
        add.hf_tensor(layer.qkv.bias, hf + "attention.self." + which + ".bias", {h}, third * h);
        ++third;
    }
    layer.projection = add.linear(name + "projection", hf + "attention.output.dense", h, h);
    layer.attention_norm = add.norm(name + "attention_norm", hf + "attention.output.LayerNorm");
    layer.fc1 = add.linear(name + "fc1", hf + "intermediate.dense", config_.intermediate, h);
    layer.fc2 = add.linear(name + "fc2", hf + "output.dense", h, config_.intermediate);
    layer.output_norm = add.norm(name + "output_norm", hf + "output.LayerNorm");
    layers.push_back(layer);
}

Parameters::Index Parameters::index(const std::string& name) const {
    const auto found = std::ranges::find(entries_, name, &Entry::name);
    require(found != entries_.end(), "there is no parameter {}", name);
    return static_cast<Index>(found - entries_.begin());
}

int64_t Parameters::count() const {
    int64_t count = 0;
    for (const HfTensor& t : tensors_) count += t.shape.size();
    return count;
}

bool Parameters::learns(const HfTensor& tensor, std::span<const LossHeadPointer> losses) {
    return tensor.head == nullptr || std::ranges::any_of(losses, [&](const LossHeadPointer& loss) {
               return loss.get() == tensor.head || loss->base().get() == tensor.head;
           });
}

std::vector<kernels::Segment> Parameters::segments(std::span<const LossHeadPointer> losses) const {
    std::vector<kernels::Segment> segments;
    for (const HfTensor& t : tensors_)
        if (learns(t, losses)) segments.push_back({.offset = t.offset, .size = t.shape.size(), .decay = t.decay});
    return segments;
}

Parameters::Index ParameterAdder::add(const std::string& name, const Shape& shape) {
    Parameters& p = parameters_;
    p.entries_.push_back({name, shape, p.size_});
    p.size_ += (shape.size() + kAlignment - 1) / kAlignment * kAlignment;
    return static_cast<Parameters::Index>(p.entries_.size()) - 1;
}

void ParameterAdder::hf_tensor(Parameters::Index parameter, const std::string& hf, const Shape& shape, int64_t first) {
    const int64_t offset = parameters_.entries_[static_cast<size_t>(parameter)].offset + first;
    parameters_.tensors_.push_back({hf, shape, offset, !is_bias_or_norm(hf), head_});
}

Parameters::Linear ParameterAdder::linear(const std::string& name, const std::string& hf, int64_t out, int64_t in) {
    const Parameters::Linear linear{add(name + "/weight", {out, in}), add(name + "/bias", {out})};
    hf_tensor(linear.weight, hf + ".weight", {out, in});
    hf_tensor(linear.bias, hf + ".bias", {out});
    return linear;
}

Parameters::Norm ParameterAdder::norm(const std::string& name, const std::string& hf) {
    const int64_t h = config().hidden;
    const Parameters::Norm norm{add(name + "/gain", {h}), add(name + "/bias", {h})};
    hf_tensor(norm.gain, hf + ".weight", {h});
    hf_tensor(norm.bias, hf + ".bias", {h});
    return norm;
}

}  // namespace dropforge
