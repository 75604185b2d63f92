#include "model/network/bert_config.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_object.h"
#include "base/nearest.h"

namespace dropforge {

namespace {

/// The five special ids, if all are given. Hugging Face's own files often name only pad_token_id.
std::optional<data::SpecialIds> special_ids(const JsonObject& json) {
    data::SpecialIds ids{};
    const std::pair<const char*, int32_t*> names[] = {{"pad_token_id", &ids.pad},
                                                      {"unk_token_id", &ids.unk},
                                                      {"cls_token_id", &ids.cls},
                                                      {"sep_token_id", &ids.sep},
                                                      {"mask_token_id", &ids.mask}};
    for (const auto& [name, id] : names) {
        if (!json.has(name)) return {};
        const int64_t value = json.integer(name);
        require(std::in_range<int32_t>(value), "{}: {} must be an id of the vocabulary, not {}", json.where(), name,
                value);
        *id = static_cast<int32_t>(value);
    }
    return ids;
}

/// transformers' names of the two forms (activations.py). "gelu_fast" writes √(2/π) with 10 digits, which f32 cannot
/// tell apart.
kernels::Gelu gelu_form(const JsonObject& json) {
    static const std::map<std::string, kernels::Gelu> forms = {
        {"gelu", kernels::Gelu::erf},           {"gelu_python", kernels::Gelu::erf},
        {"gelu_new", kernels::Gelu::tanh},      {"gelu_pytorch_tanh", kernels::Gelu::tanh},
        {"gelu_fast", kernels::Gelu::tanh},     {"gelu_python_tanh", kernels::Gelu::tanh},
        {"gelu_accurate", kernels::Gelu::tanh},
    };
    const std::string name = json.text("hidden_act", "gelu");
    const auto found = forms.find(name);
    require(found != forms.end(),
            "{}: hidden_act must be a form of GELU (gelu, gelu_python; gelu_new, gelu_pytorch_tanh, gelu_fast, "
            "gelu_python_tanh, gelu_accurate), not \"{}\"",
            json.where(), name);
    return found->second;
}

/// What would make it another model than the encoder that is built here.
void refuse_other_models(const JsonObject& json) {
    const auto must_be = [&](const char* key, const char* expected) {
        const std::string value = json.text(key, expected);
        require(value == expected, "{}: {} must be \"{}\", not \"{}\"", json.where(), key, expected, value);
    };
    must_be("model_type", "bert");
    must_be("position_embedding_type", "absolute");
    for (const char* key : {"is_decoder", "add_cross_attention", "is_encoder_decoder"})
        require(!json.boolean(key, false), "{}: {} is true: a decoder; only encoders are read", json.where(), key);
    for (const auto& [key, what] : {std::pair{"pruned_heads", "layers with fewer heads"},
                                    {"per_layer_config", "layers that differ"},
                                    {"quantization_config", "weights that are not numbers as they are"},
                                    {"auto_map", "a model with code of its own"}})
        require(!json.has(key) || json.value(key).empty(), "{}: {} is {}: {} are not read", json.where(), key,
                JsonObject::shown(json.value(key)), what);
}

struct NamedSize {
    const char* name;
    int64_t hidden, layers, heads;
};

constexpr NamedSize kPresets[] = {{"bert-tiny", 128, 2, 2},   {"bert-mini", 256, 4, 4},   {"bert-small", 512, 4, 8},
                                  {"bert-medium", 512, 8, 8}, {"bert-base", 768, 12, 12}, {"bert-large", 1024, 24, 16}};

}  // namespace

int64_t BertConfig::parameter_count() const {
    const int64_t embeddings = (vocabulary + max_positions + types + 2) * hidden;
    const int64_t layer = 4 * hidden * hidden + 2 * hidden * intermediate + 9 * hidden + intermediate;
    return embeddings + layers * layer + hidden * hidden + 3 * hidden + vocabulary;
}

void BertConfig::validate(const std::string& where) const {
    const auto in_range = [&](const char* name, int64_t value, int64_t low, int64_t high) {
        require(value >= low && value <= high, "{}: {} must be {} … {}, not {}", where, name, low, high, value);
    };
    in_range("vocabulary", vocabulary, 6, 1 << 24);
    in_range("hidden", hidden, 1, 1 << 16);
    in_range("layers", layers, 1, 1024);
    in_range("heads", heads, 1, hidden);
    in_range("intermediate", intermediate, 1, 1 << 20);
    in_range("max_positions", max_positions, 2, 1 << 16);
    in_range("types", types, 1, 1024);
    require(hidden % heads == 0, "{}: hidden ({}) must be a multiple of heads ({})", where, hidden, heads);
    require(epsilon > 0 && epsilon < 1, "{}: epsilon must be in (0, 1), not {}", where, epsilon);
    for (const auto& [name, p] : {std::pair{"dropout", hidden_dropout}, {"attention_dropout", attention_dropout}})
        require(p >= 0 && p < kernels::Dropout::kLimit, "{}: {} must be in [0, 1 - 2^-17), not {}", where, name, p);
    require(initializer_range > 0 && std::isfinite(initializer_range), "{}: initializer_range must be positive, not {}",
            where, initializer_range);
    if (!special) return;
    for (const auto& [name, id] : {std::pair{"pad_token_id", special->pad},
                                   {"unk_token_id", special->unk},
                                   {"cls_token_id", special->cls},
                                   {"sep_token_id", special->sep},
                                   {"mask_token_id", special->mask}})
        in_range(name, id, 0, vocabulary - 1);
}

std::vector<std::string> BertConfig::preset_names() {
    std::vector<std::string> names;
    for (const NamedSize& preset : kPresets) names.emplace_back(preset.name);
    return names;
}

bool BertConfig::is_preset(const std::string& name) {
    return std::ranges::find(kPresets, name, &NamedSize::name) != std::end(kPresets);
}

BertConfig BertConfig::preset(const std::string& name) {
    const auto* found = std::ranges::find(kPresets, name, &NamedSize::name);
    require(found != std::end(kPresets),
            "no preset named {} (the nearest is {}); there are bert-tiny, -mini, -small, -medium, -base, -large", name,
            nearest(name, preset_names()));
    BertConfig config;
    config.hidden = found->hidden;
    config.layers = found->layers;
    config.heads = found->heads;
    config.intermediate = 4 * config.hidden;
    return config;
}

BertConfig BertConfig::from_json(const std::string& text, const std::string& where) {
    const JsonObject json(text, where);
    refuse_other_models(json);
    const auto number = [&](const char* key, float otherwise) {
        return static_cast<float>(json.number(key, otherwise));
    };
    BertConfig config;
    config.vocabulary = json.integer("vocab_size");
    config.hidden = json.integer("hidden_size");
    config.layers = json.integer("num_hidden_layers");
    config.heads = json.integer("num_attention_heads");
    config.intermediate = json.integer("intermediate_size");
    config.max_positions = json.integer("max_position_embeddings");
    config.types = json.integer("type_vocab_size", config.types);
    config.epsilon = number("layer_norm_eps", config.epsilon);
    config.hidden_dropout = number("hidden_dropout_prob", config.hidden_dropout);
    config.attention_dropout = number("attention_probs_dropout_prob", config.attention_dropout);
    config.initializer_range = number("initializer_range", config.initializer_range);
    config.gelu = gelu_form(json);
    config.special = special_ids(json);
    config.tied_decoder = json.boolean("tie_word_embeddings", true);
    config.validate(where);
    return config;
}

std::string BertConfig::to_json(const std::string& architecture) const {
    // A float printed as the shortest decimal that reads back as the same float, not as its double expansion.
    const auto decimal = [](float value) { return std::stod(fmt::format("{}", value)); };
    nlohmann::ordered_json json = {
        {"architectures", nlohmann::ordered_json::array({architecture})},
        {"model_type", "bert"},
        {"vocab_size", vocabulary},
        {"hidden_size", hidden},
        {"num_hidden_layers", layers},
        {"num_attention_heads", heads},
        {"intermediate_size", intermediate},
        {"hidden_act", gelu == kernels::Gelu::erf ? "gelu" : "gelu_new"},
        {"max_position_embeddings", max_positions},
        {"type_vocab_size", types},
        {"layer_norm_eps", decimal(epsilon)},
        {"hidden_dropout_prob", decimal(hidden_dropout)},
        {"attention_probs_dropout_prob", decimal(attention_dropout)},
        {"initializer_range", decimal(initializer_range)},
        {"position_embedding_type", "absolute"},
        {"tie_word_embeddings", tied_decoder},
        {"torch_dtype", "float32"},
    };
    if (special) {
        json["pad_token_id"] = special->pad;
        json["unk_token_id"] = special->unk;
        json["cls_token_id"] = special->cls;
        json["sep_token_id"] = special->sep;
        json["mask_token_id"] = special->mask;
    }
    return json.dump(2) + "\n";
}

}  // namespace dropforge
