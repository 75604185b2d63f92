#include "model/network/parameters.h"

namespace dropforge {

namespace {

constexpr int64_t kAlignment = 64;  // elements: 256 bytes of f32, 128 of bf16

bool is_bias_or_norm(const std::string& hf) {
    return hf.ends_with("bias") || hf.find("LayerNorm") != std::string::npos;
}

}  // namespace

Parameters::Parameters(const BertConfig& config, const Heads& heads) : config_(config), heads_(heads) {
    const int64_t h = config.hidden;
    const std::string embeddings = "bert.embeddings.";
    word = add("embeddings/word", {config.padded_vocabulary(), h});
    name(word, embeddings + "word_embeddings.weight", {config.vocabulary, h});
    position = add("embeddings/position", {config.max_positions, h});
    name(position, embeddings + "position_embeddings.weight", {config.max_positions, h});
    type = add("embeddings/type", {config.types, h});
    name(type, embeddings + "token_type_embeddings.weight", {config.types, h});
    embedding_norm = add_norm("embeddings/norm", embeddings + "LayerNorm");
    for (int64_t i = 0; i < config.layers; ++i) add_layer(i);
    if (heads.pooler) pooler = add_linear("pooler", "bert.pooler.dense", h, h);
    if (heads.mlm) {
        add_decoder();
        transform = add_linear("mlm/transform", "cls.predictions.transform.dense", h, h);
        transform_norm = add_norm("mlm/norm", "cls.predictions.transform.LayerNorm");
    }
    if (heads.next_sentence) next_sentence = add_linear("next_sentence", "cls.seq_relationship", 2, h);
}

void Parameters::add_decoder() {
    const std::string own = "cls.predictions.decoder.";
    decoder = word;
    if (!config_.tied_decoder) {
        decoder = add("mlm/decoder/weight", {config_.padded_vocabulary(), config_.hidden});
        name(decoder, own + "weight", {config_.vocabulary, config_.hidden});
    }
    decoder_bias = add("mlm/decoder/bias", {config_.padded_vocabulary()});
    name(decoder_bias, config_.tied_decoder ? "cls.predictions.bias" : own + "bias", {config_.vocabulary});
}

void Parameters::add_layer(int64_t index) {
    const int64_t h = config_.hidden;
    const std::string own = "layer" + std::to_string(index) + "/",
                      hf = "bert.encoder.layer." + std::to_string(index) + ".";
    Layer layer;
    layer.qkv = {add(own + "qkv/weight", {3 * h, h}), add(own + "qkv/bias", {3 * h})};
    int64_t part = 0;
    for (const char* which : {"query", "key", "value"}) {
        name(layer.qkv.weight, hf + "attention.self." + which + ".weight", {h, h}, part * h * h);
        name(layer.qkv.bias, hf + "attention.self." + which + ".bias", {h}, part * h);
        ++part;
    }
    layer.projection = add_linear(own + "projection", hf + "attention.output.dense", h, h);
    layer.attention_norm = add_norm(own + "attention_norm", hf + "attention.output.LayerNorm");
    layer.fc1 = add_linear(own + "fc1", hf + "intermediate.dense", config_.intermediate, h);
    layer.fc2 = add_linear(own + "fc2", hf + "output.dense", h, config_.intermediate);
    layer.output_norm = add_norm(own + "output_norm", hf + "output.LayerNorm");
    layers.push_back(layer);
}

Parameters::Index Parameters::add(const std::string& own, const Shape& shape) {
    entries_.push_back({own, shape, size_});
    size_ += (shape.size() + kAlignment - 1) / kAlignment * kAlignment;
    return static_cast<Index>(entries_.size()) - 1;
}

void Parameters::name(Index parameter, const std::string& hf, const Shape& shape, int64_t first) {
    tensors_.push_back({hf, shape, entries_[static_cast<size_t>(parameter)].offset + first, !is_bias_or_norm(hf)});
}

Parameters::Linear Parameters::add_linear(const std::string& own, const std::string& hf, int64_t out, int64_t in) {
    const Linear linear{add(own + "/weight", {out, in}), add(own + "/bias", {out})};
    name(linear.weight, hf + ".weight", {out, in});
    name(linear.bias, hf + ".bias", {out});
    return linear;
}

Parameters::Norm Parameters::add_norm(const std::string& own, const std::string& hf) {
    const Norm norm{add(own + "/gain", {config_.hidden}), add(own + "/bias", {config_.hidden})};
    name(norm.gain, hf + ".weight", {config_.hidden});
    name(norm.bias, hf + ".bias", {config_.hidden});
    return norm;
}

bool Parameters::next_sentence_only(const HfTensor& tensor) {
    return tensor.name.starts_with("bert.pooler.") || tensor.name.starts_with("cls.seq_relationship.");
}

std::vector<kernels::Segment> Parameters::segments(bool with_next_sentence) const {
    std::vector<kernels::Segment> segments;
    for (const HfTensor& t : tensors_)
        if (with_next_sentence || !next_sentence_only(t))
            segments.push_back({.offset = t.offset, .size = t.shape.size(), .decay = t.decay});
    return segments;
}

}  // namespace dropforge
