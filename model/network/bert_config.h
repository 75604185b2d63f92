// The shape of a BERT encoder: Hugging Face's config.json, the presets, and their rules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/tokenizer/wordpiece.h"
#include "kernels/kernels.h"

namespace dropforge {

/// How a run's weights start (docs/algorithms.md, "Initial weights").
enum class InitialWeights : uint8_t { normal, mimetic };

struct BertConfig {
    int64_t vocabulary = 30522;
    int64_t hidden = 768;         // h
    int64_t layers = 12;          // L
    int64_t heads = 12;           // A
    int64_t intermediate = 3072;  // width of the FFN
    int64_t max_positions = 512;
    int64_t types = 2;  // segments
    kernels::Gelu gelu = kernels::Gelu::erf;
    float epsilon = 1e-12f;  // of LayerNorm
    float hidden_dropout = 0.1f, attention_dropout = 0.1f;
    float initializer_range = 0.02f;               // σ of the truncated normal
    InitialWeights init = InitialWeights::normal;  // not in config.json: what a checkpoint has is no longer initial
    std::optional<data::SpecialIds> special;       // pad, unk, cls, sep, mask; config.json may lack them
    bool tied_decoder = true;  // the MLM head's decoder is the word table; trained models' always is

    int64_t head_size() const { return hidden / heads; }
    /// Rows of the word embedding table in memory: a multiple of 128 for the decoder GEMM, which computes with them;
    /// the rows past `vocabulary` stay 0.
    int64_t padded_vocabulary() const { return (vocabulary + 127) / 128 * 128; }
    /// Parameters with MLM head, without pooler and NSP head (those of Hugging Face, i.e. without the padded rows).
    int64_t parameter_count() const;
    /// Throws Error naming the key and the allowed range (hidden not divisible by heads …). `where` begins the message.
    void validate(const std::string& where) const;

    /// bert-tiny, -mini, -small, -medium, -base, -large (Turc et al. 2019; Devlin et al. 2019). Throws Error listing
    /// the names, the nearest first.
    static BertConfig preset(const std::string& name);
    /// From small to large.
    static std::vector<std::string> preset_names();
    static bool is_preset(const std::string& name);
    /// Reads Hugging Face's config.json. Throws Error for a missing key, a wrong type, another model_type or
    /// activation.
    static BertConfig from_json(const std::string& text, const std::string& where);
    /// config.json that names the class that opens it: "BertForMaskedLM", "BertForPreTraining", "BertModel".
    std::string to_json(const std::string& architecture) const;
};

}  // namespace dropforge
