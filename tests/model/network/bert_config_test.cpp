#include "model/network/bert_config.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "tests/support/message_of.h"

using namespace dropforge;
using dropforge::test::message_of;
using Json = nlohmann::json;

namespace {

const std::string kMlm = "BertForMaskedLM";

/// The error of reading a good config.json with one key replaced (null: removed).
std::string error_with(const char* key, const Json& value) {
    Json json = Json::parse(BertConfig::preset("bert-mini").to_json(kMlm));
    if (value.is_null()) {
        json.erase(key);
    } else {
        json[key] = value;
    }
    return message_of([&] { BertConfig::from_json(json.dump(), "config.json"); });
}

}  // namespace

TEST_CASE("presets: the parameter counts of transformers' BertForMaskedLM") {
    CHECK(BertConfig::preset("bert-tiny").parameter_count() == 4'416'698);
    CHECK(BertConfig::preset("bert-base").parameter_count() == 109'514'298);
    CHECK(BertConfig::preset("bert-large").parameter_count() == 335'174'458);
    for (const char* name : {"bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base", "bert-large"}) {
        const auto config = BertConfig::preset(name);
        config.validate(name);
        CHECK(config.head_size() == 64);
    }
    CHECK(message_of([] {
              BertConfig::preset("bert-huge");
          }).starts_with("no preset named bert-huge (the nearest is bert-base); there are bert-tiny"));
}

TEST_CASE("the embedding table is padded to a multiple of 128 rows") {
    BertConfig config;
    CHECK(config.padded_vocabulary() == 30592);
    config.vocabulary = 256;
    CHECK(config.padded_vocabulary() == 256);
    config.vocabulary = 257;
    CHECK(config.padded_vocabulary() == 384);
}

TEST_CASE("config.json: written and read back") {
    BertConfig config = BertConfig::preset("bert-small");
    config.vocabulary = 1003;
    config.max_positions = 64;
    config.types = 3;
    config.gelu = kernels::Gelu::tanh;
    config.epsilon = 1e-5f;
    config.hidden_dropout = 0.2f;
    config.attention_dropout = 0.0f;
    config.initializer_range = 0.03f;
    config.special = data::SpecialIds{0, 100, 101, 102, 103};
    const std::string text = config.to_json(kMlm);
    const auto again = BertConfig::from_json(text, "config.json");
    CHECK(again.to_json(kMlm) == text);
    CHECK(again.vocabulary == 1003);
    CHECK(again.hidden == 512);
    CHECK(again.layers == 4);
    CHECK(again.heads == 8);
    CHECK(again.intermediate == 2048);
    CHECK(again.max_positions == 64);
    CHECK(again.types == 3);
    CHECK(again.gelu == kernels::Gelu::tanh);
    CHECK(again.epsilon == 1e-5f);
    CHECK(again.hidden_dropout == 0.2f);
    CHECK(again.attention_dropout == 0.0f);
    CHECK(again.initializer_range == 0.03f);
    REQUIRE(again.special.has_value());
    CHECK(again.special->mask == 103);
    CHECK(text.find("\"layer_norm_eps\": 1e-05") != std::string::npos);  // not 9.999999747378752e-06
}

TEST_CASE("config.json: the class that transformers opens") {
    const BertConfig config;
    CHECK(Json::parse(config.to_json(kMlm))["architectures"] == Json{"BertForMaskedLM"});
    CHECK(Json::parse(config.to_json("BertForPreTraining"))["architectures"] == Json{"BertForPreTraining"});
    CHECK(Json::parse(config.to_json(kMlm))["vocab_size"] == 30522);
}

TEST_CASE("config.json: optional keys take Hugging Face's defaults, special ids only if all five are there") {
    const auto config = BertConfig::from_json(
        R"({"vocab_size": 99, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
            "max_position_embeddings": 16, "pad_token_id": 0})",
        "config.json");
    CHECK(config.types == 2);
    CHECK(config.gelu == kernels::Gelu::erf);
    CHECK(config.epsilon == 1e-12f);
    CHECK(config.hidden_dropout == 0.1f);
    CHECK_FALSE(config.special.has_value());
}

TEST_CASE("config.json: bad input, by key") {
    CHECK(message_of([] { BertConfig::from_json("[1]", "config.json"); }) == "config.json: not a JSON object");
    CHECK(message_of([] {
              BertConfig::from_json("{\"a\":", "config.json");
          }).starts_with("config.json: not JSON: parse error at line 1, column 6: syntax error"));
    CHECK(error_with("hidden_size", nullptr) == "config.json: the key hidden_size is missing");
    CHECK(error_with("hidden_size", "256") == "config.json: hidden_size must be an integer, not \"256\"");
    CHECK(error_with("hidden_size", 256.5) == "config.json: hidden_size must be an integer, not 256.5");
    CHECK(error_with("hidden_size", 255) == "config.json: hidden (255) must be a multiple of heads (4)");
    CHECK(error_with("hidden_size", -256).starts_with("config.json: hidden must be 1 "));
    CHECK(error_with("num_attention_heads", 0).starts_with("config.json: heads must be 1 "));
    CHECK(error_with("vocab_size", 5).starts_with("config.json: vocabulary must be 6 "));
    CHECK(error_with("model_type", "roberta") == "config.json: model_type must be \"bert\", not \"roberta\"");
    CHECK(error_with("hidden_act", "relu").find("not \"relu\"") != std::string::npos);
    CHECK(error_with("position_embedding_type", "relative_key").find("relative_key") != std::string::npos);
    CHECK(error_with("hidden_dropout_prob", 1.0).find("dropout must be in [0, 1 - 2^-17), not 1") != std::string::npos);
    CHECK(error_with("layer_norm_eps", 0.0).find("epsilon must be in (0, 1), not 0") != std::string::npos);
    CHECK(error_with("initializer_range", "wide").find("initializer_range must be a number") != std::string::npos);
}

TEST_CASE("config.json: another model, JSON that is no config, and null for a default") {
    CHECK(error_with("is_decoder", true).find("is_decoder is true") != std::string::npos);
    CHECK(error_with("per_layer_config", {{"0", {{"heads", 2}}}}).find("per_layer_config") != std::string::npos);
    CHECK(error_with("vocab_size", 18446744073709551615U).find("must be an integer, not 1844674407") !=
          std::string::npos);
    CHECK(error_with("pruned_heads", Json::object()) == "");
    const std::string deep(100000, '[');
    CHECK(message_of([&] { BertConfig::from_json("{\"a\":" + deep, "config.json"); }) ==
          "config.json: nested more than 32 deep");
    Json json = Json::parse(BertConfig::preset("bert-mini").to_json(kMlm));
    json["hidden_act"] = "gelu_pytorch_tanh";
    json["type_vocab_size"] = nullptr;
    const auto config = BertConfig::from_json(json.dump(), "config.json");
    CHECK(config.gelu == kernels::Gelu::tanh);
    CHECK(config.types == 2);
}

TEST_CASE("config.json: a special id past the vocabulary is refused") {
    BertConfig config = BertConfig::preset("bert-mini");
    config.vocabulary = 103;
    config.special = data::SpecialIds{0, 100, 101, 102, 103};
    CHECK(message_of([&] { config.validate("x"); }) == "x: mask_token_id must be 0 … 102, not 103");
}
