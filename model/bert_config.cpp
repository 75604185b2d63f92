#include "model/bert_config.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace dropforge {

namespace {

using Json = nlohmann::json;

template <typename T>
T key(const Json& json, const std::string& where, const char* name, std::optional<T> otherwise = {}) {
    if (!json.contains(name)) {
        require(otherwise.has_value(), "{}: the key {} is missing", where, name);
        return *otherwise;
    }
    const Json& value = json[name];
    if constexpr (std::is_same_v<T, std::string>) {
        require(value.is_string(), "{}: {} must be a string, not {}", where, name, value.dump());
    } else if constexpr (std::is_integral_v<T>) {
        require(value.is_number_integer(), "{}: {} must be an integer, not {}", where, name, value.dump());
    } else {
        require(value.is_number(), "{}: {} must be a number, not {}", where, name, value.dump());
    }
    return value.get<T>();
}

/// The five special ids, if all are there. Hugging Face's own files often name only pad_token_id.
std::optional<data::SpecialIds> special_ids(const Json& json, const std::string& where) {
    data::SpecialIds ids{};
    const std::pair<const char*, int32_t*> names[] = {{"pad_token_id", &ids.pad},
                                                      {"unk_token_id", &ids.unk},
                                                      {"cls_token_id", &ids.cls},
                                                      {"sep_token_id", &ids.sep},
                                                      {"mask_token_id", &ids.mask}};
    for (const auto& [name, id] : names) {
        if (!json.contains(name) || json[name].is_null()) return {};
        *id = key<int32_t>(json, where, name);
    }
    return ids;
}

struct Size {
    int64_t hidden, layers, heads;
};

const std::map<std::string, Size>& sizes() {
    static const std::map<std::string, Size> sizes = {{"bert-tiny", {128, 2, 2}},   {"bert-mini", {256, 4, 4}},
                                                      {"bert-small", {512, 4, 8}},  {"bert-medium", {512, 8, 8}},
                                                      {"bert-base", {768, 12, 12}}, {"bert-large", {1024, 24, 16}}};
    return sizes;
}

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
        require(p >= 0 && p < 1, "{}: {} must be in [0, 1), not {}", where, name, p);
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

bool BertConfig::is_preset(const std::string& name) { return sizes().contains(name); }

BertConfig BertConfig::preset(const std::string& name) {
    const auto found = sizes().find(name);
    require(found != sizes().end(), "no preset named {}; there are bert-tiny, -mini, -small, -medium, -base, -large",
            name);
    BertConfig config;
    config.hidden = found->second.hidden;
    config.layers = found->second.layers;
    config.heads = found->second.heads;
    config.intermediate = 4 * config.hidden;
    return config;
}

BertConfig BertConfig::from_json(const std::string& text, const std::string& where) {
    const Json json = Json::parse(text, nullptr, false);
    require(json.is_object(), "{}: not a JSON object", where);
    const auto type = key<std::string>(json, where, "model_type", "bert");
    require(type == "bert", "{}: model_type must be \"bert\", not \"{}\"", where, type);
    BertConfig config;
    config.vocabulary = key<int64_t>(json, where, "vocab_size");
    config.hidden = key<int64_t>(json, where, "hidden_size");
    config.layers = key<int64_t>(json, where, "num_hidden_layers");
    config.heads = key<int64_t>(json, where, "num_attention_heads");
    config.intermediate = key<int64_t>(json, where, "intermediate_size");
    config.max_positions = key<int64_t>(json, where, "max_position_embeddings");
    config.types = key<int64_t>(json, where, "type_vocab_size", 2);
    config.epsilon = key<float>(json, where, "layer_norm_eps", 1e-12f);
    config.hidden_dropout = key<float>(json, where, "hidden_dropout_prob", 0.1f);
    config.attention_dropout = key<float>(json, where, "attention_probs_dropout_prob", 0.1f);
    config.initializer_range = key<float>(json, where, "initializer_range", 0.02f);
    const auto act = key<std::string>(json, where, "hidden_act", "gelu");
    require(act == "gelu" || act == "gelu_new", "{}: hidden_act must be \"gelu\" or \"gelu_new\", not \"{}\"", where,
            act);
    config.gelu = act == "gelu" ? kernels::Gelu::erf : kernels::Gelu::tanh;
    const auto position = key<std::string>(json, where, "position_embedding_type", "absolute");
    require(position == "absolute", "{}: position_embedding_type must be \"absolute\", not \"{}\"", where, position);
    config.special = special_ids(json, where);
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
        {"tie_word_embeddings", true},
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
