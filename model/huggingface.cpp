#include "model/huggingface.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "engine/safetensors.h"
#include "model/json_object.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;

const std::string kPrefix = "bert.";

bool ignored(const std::string& name) {
    return name.ends_with("position_ids") || name.starts_with("cls.predictions.decoder.");
}

/// Our name of a tensor of the file: with the prefix, and with LayerNorm's parameters as they are called today.
std::string full_name(std::string name) {
    for (const auto& [old, today] : {std::pair{"LayerNorm.gamma", "weight"}, {"LayerNorm.beta", "bias"}})
        if (name.ends_with(old)) name = name.substr(0, name.rfind('.') + 1) + today;
    return name.starts_with(kPrefix) || name.starts_with("cls.") ? name : kPrefix + name;
}

/// Copies of tied tensors are left out only if they are that.
void require_copy(const SafetensorsFile& file, const std::string& copy, const std::string& original) {
    if (!file.has(copy) || !file.has(original)) return;
    require(std::ranges::equal(file.bytes(copy), file.bytes(original)),
            "{}: {} is not the same as {}: a decoder of its own is not read", file.path().string(), copy, original);
}

/// What a model file holds, by full names.
struct Contents {
    std::map<std::string, std::string> names;  // full name → name in the file

    explicit Contents(const SafetensorsFile& file) {
        for (const auto& [name, info] : file.tensors()) {
            if (ignored(name)) continue;
            const auto [entry, added] = names.emplace(full_name(name), name);
            require(added, "{}: both {} and {} are there", file.path().string(), name, entry->second);
        }
    }
    bool any(const std::string& start) const {
        const auto found = names.lower_bound(start);
        return found != names.end() && found->first.starts_with(start);
    }
};

void read_values(const SafetensorsFile& file, Contents& contents, const Parameters& parameters, float* values) {
    for (const HfTensor& t : parameters.tensors()) {
        const auto found = contents.names.find(t.name);
        require(found != contents.names.end(), "{}: the tensor {} is missing", file.path().string(), t.name);
        file.read(found->second, {values + t.offset, static_cast<size_t>(t.shape.size())}, t.shape.dimensions());
        contents.names.erase(found);
    }
    require(contents.names.empty(), "{}: unexpected tensor {}: no part of a BERT encoder with MLM and NSP heads",
            file.path().string(), contents.names.empty() ? "" : contents.names.begin()->second);
}

}  // namespace

Model load_model(const fs::path& folder) {
    const fs::path config_path = folder / "config.json";
    const BertConfig config = BertConfig::from_json(read_text(config_path), config_path.string());
    const SafetensorsFile file(folder / "model.safetensors");
    require_copy(file, "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight");
    require_copy(file, "cls.predictions.decoder.bias", "cls.predictions.bias");
    Contents contents(file);
    Model model{Parameters(config, {.mlm = contents.any("cls.predictions."),
                                    .pooler = contents.any("bert.pooler."),
                                    .next_sentence = contents.any("cls.seq_relationship.")}),
                Buffer()};
    model.values = Buffer(model.parameters.size() * static_cast<int64_t>(sizeof(float)));
    read_values(file, contents, model.parameters, model.values.as<float>());
    return model;
}

void save_model(const fs::path& folder, const Parameters& parameters, const float* values) {
    const Heads& heads = parameters.heads();
    const std::string architecture = heads.next_sentence ? "BertForPreTraining"
                                     : heads.mlm         ? "BertForMaskedLM"
                                                         : "BertModel";
    SafetensorsWriter writer;
    writer.metadata("format", "pt");
    for (const HfTensor& t : parameters.tensors()) {
        const std::string name = heads.mlm ? t.name : t.name.substr(kPrefix.size());
        writer.add(name, {values + t.offset, static_cast<size_t>(t.shape.size())}, t.shape.dimensions());
    }
    writer.write(folder / "model.safetensors");
    write_text(folder / "config.json", parameters.config().to_json(architecture));
}

void save_tokenizer(const fs::path& folder, const fs::path& vocabulary, bool cased, int64_t max_positions) {
    write_text(folder / "vocab.txt", read_text(vocabulary));
    const Json special = {{"unk_token", "[UNK]"},
                          {"sep_token", "[SEP]"},
                          {"pad_token", "[PAD]"},
                          {"cls_token", "[CLS]"},
                          {"mask_token", "[MASK]"}};
    Json tokenizer = {{"tokenizer_class", "BertTokenizer"},
                      {"do_lower_case", !cased},
                      {"tokenize_chinese_chars", true},
                      {"strip_accents", nullptr},
                      {"model_max_length", max_positions}};
    tokenizer.update(special);
    write_text(folder / "tokenizer_config.json", tokenizer.dump(2) + "\n");
    write_text(folder / "special_tokens_map.json", special.dump(2) + "\n");
}

data::Vocabulary load_vocabulary(const fs::path& folder) {
    const fs::path path = folder / "tokenizer.json";
    if (fs::exists(folder / "vocab.txt") || !fs::exists(path)) return data::Vocabulary::load(folder / "vocab.txt");
    const JsonObject model = JsonObject::load(path).object("model"), list = model.object("vocab");
    const std::string type = model.text("type", "WordPiece");
    require(type == "WordPiece", "{}: the model must be WordPiece, not {}", path.string(), type);
    std::vector<std::string> tokens(list.size());
    for (const std::string& token : list.keys()) {
        const int64_t id = list.integer(token.c_str());
        require(id >= 0 && id < std::ssize(tokens) && tokens[static_cast<size_t>(id)].empty(),
                "{}: the id {} of \"{}\" is taken or not below {}", path.string(), id, token, tokens.size());
        tokens[static_cast<size_t>(id)] = token;
    }
    return data::Vocabulary(std::move(tokens), path.string());
}

void require_vocabulary(const fs::path& folder, const data::Vocabulary& vocabulary) {
    const bool txt = fs::exists(folder / "vocab.txt");
    const fs::path path = folder / (txt ? "vocab.txt" : "tokenizer.json");
    require(fs::exists(path),
            "{}: neither vocab.txt nor tokenizer.json: whether the data has the model's vocabulary cannot be checked",
            folder.string());
    const auto own = load_vocabulary(folder);
    require(own.size() == vocabulary.size(), "{}: {} tokens, the data's vocabulary has {}", path.string(), own.size(),
            vocabulary.size());
    for (int32_t id = 0; id < own.size(); ++id)
        require(own.token(id) == vocabulary.token(id),
                "{}: token {} is \"{}\", in the data's vocabulary it is \"{}\": a model of another vocabulary",
                path.string(), id, own.token(id), vocabulary.token(id));
}

bool tokenizer_is_cased(const fs::path& folder) {
    const fs::path path = folder / "tokenizer_config.json";
    if (!fs::exists(path)) return false;
    const JsonObject json = JsonObject::load(path);
    const bool lower = json.boolean("do_lower_case", true);
    require(json.boolean("strip_accents", lower) == lower,
            "{}: strip_accents is {} where do_lower_case is {}: accents are stripped exactly where case is",
            path.string(), !lower, lower);
    require(json.boolean("tokenize_chinese_chars", true), "{}: tokenize_chinese_chars must be true, not false",
            path.string());
    return !lower;
}

}  // namespace dropforge
