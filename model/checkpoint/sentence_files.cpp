#include "model/checkpoint/sentence_files.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/json_object.h"

namespace dropforge {

namespace {

/// The last part of a class's name: "Pooling" of "sentence_transformers.models.Pooling", whose modules have moved from
/// version to version.
std::string class_name(const std::string& type) { return type.substr(type.rfind('.') + 1); }

Pooling read_pooling(const fs::path& path) {
    static constexpr std::string_view kMode = "pooling_mode_";
    const JsonObject config = JsonObject::load(path);
    std::string mode = config.text("pooling_mode", "");
    if (mode.empty())  // as older versions write it: a switch for each
        for (const std::string& key : config.keys())
            if (key.starts_with(kMode) && config.boolean(key.c_str()))
                mode += (mode.empty() ? "" : ", ") + key.substr(kMode.size());
    if (mode == "mean" || mode == "mean_tokens") return Pooling::mean;
    require(mode == "cls" || mode == "cls_token",
            "{}: the pooling is \"{}\", not one of mean and cls, which are computed here; --pool takes one of them",
            config.where(), mode);
    return Pooling::cls;
}

}  // namespace

SentencePooling read_sentence_pooling(const fs::path& folder) {
    const fs::path path = folder / "modules.json";
    SentencePooling result;
    if (!fs::exists(path)) return result;
    for (const JsonObject& module : JsonObject::list(read_text(path), path.string())) {
        const std::string name = class_name(module.text("type")), at = module.text("path");
        if (name == "Transformer") {
            require(at.empty(), "{}: the model is in the folder \"{}\": --model takes that", module.where(), at);
        } else if (name == "Pooling") {
            require(is_file_name(at), "{}: path is \"{}\", not the name of a folder", module.where(), at);
            result.pooling = read_pooling(folder / at / "config.json");
        } else {
            require(name == "Normalize", "{}: a module {}, which is not computed here; with --pool no module is read",
                    module.where(), name);
            result.normalize = true;
        }
    }
    return result;
}

SentenceTexts read_sentence_texts(const fs::path& folder, int64_t positions) {
    const JsonObject sentences = JsonObject::load_optional(folder / "sentence_bert_config.json"),
                     tokenizer = JsonObject::load_optional(folder / "tokenizer_config.json"),
                     prompts = JsonObject::load_optional(folder / "config_sentence_transformers.json");
    const JsonObject& says = sentences.has("max_seq_length") ? sentences : tokenizer;
    const char* key = sentences.has("max_seq_length") ? "max_seq_length" : "model_max_length";
    const double most = static_cast<double>(positions);
    SentenceTexts texts{.max_length = static_cast<int64_t>(std::min(says.number(key, most), most)),  // may be 1e30
                        .lower_case = sentences.boolean("do_lower_case", false)};
    const std::string side = tokenizer.text("truncation_side", "right");
    require(side == "right", "{}: truncation_side must be \"right\", not \"{}\"", tokenizer.where(), side);
    constexpr int64_t kLeast = 3;
    require(texts.max_length >= kLeast, "{}: {} is {}, where [CLS], a token and [SEP] need {}", says.where(), key,
            JsonObject::shown(says.value(key)), kLeast);
    if (prompts.has("default_prompt_name"))
        texts.default_prompt = prompts.object("prompts").text(prompts.text("default_prompt_name").c_str());
    return texts;
}

}  // namespace dropforge
