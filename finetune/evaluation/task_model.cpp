#include "finetune/evaluation/task_model.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_object.h"
#include "engine/safetensors.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/manifest.h"

namespace dropforge {

namespace {

/// Of {"0": name, "1": name …}.
std::vector<std::string> labels_of(const JsonObject& config) {
    const JsonObject names = config.object("id2label");
    std::vector<std::string> labels;
    for (size_t i = 0; i < names.size(); ++i) labels.push_back(names.text(std::to_string(i).c_str()));
    return labels;
}

/// The first of `architectures`.
std::string architecture_of(const JsonObject& config) {
    const nlohmann::json& names = config.value("architectures");
    return names.is_array() && !names.empty() && names[0].is_string() ? names[0].get<std::string>() : "";
}

std::string task_config(const tasks::Task& task, std::vector<std::string> labels, const Parameters& parameters,
                        int64_t columns, double classifier_dropout) {
    const BertConfig& config = parameters.config();
    nlohmann::ordered_json json = nlohmann::ordered_json::parse(config.to_json(parameters.heads().architecture()));
    json["classifier_dropout"] = std::stod(fmt::format("{}", static_cast<float>(classifier_dropout)));
    for (int64_t i = std::ssize(labels); i < columns; ++i) labels.push_back(fmt::format("LABEL_{}", i));
    nlohmann::ordered_json ids = nlohmann::ordered_json::object(), names = ids;
    for (size_t i = 0; i < labels.size(); ++i) {
        names[std::to_string(i)] = labels[i];
        ids[labels[i]] = i;
    }
    json["id2label"] = names;
    json["label2id"] = ids;
    if (task.kind == tasks::Kind::regression) json["problem_type"] = "regression";
    if (task.kind == tasks::Kind::single || task.kind == tasks::Kind::pair)
        json["problem_type"] = "single_label_classification";
    return json.dump(2) + "\n";
}

}  // namespace

ModelFolder ModelFolder::open(const fs::path& path) {
    require(is_model(path), "{}: No such file", (path / "config.json").string());
    require_intact(path);
    const fs::path file = path / "config.json";
    const std::string text = read_text(file);
    const JsonObject json(text, file.string());
    ModelFolder model{.path = path,
                      .config = BertConfig::from_json(text, file.string()),
                      .tokenizer = load_tokenizer(path),
                      .labels = labels_of(json),
                      .architecture = architecture_of(json),
                      .problem_type = json.text("problem_type", "")};
    if (json.has("classifier_dropout")) model.classifier_dropout = json.number("classifier_dropout");
    require(model.tokenizer.vocabulary.size() <= model.config.vocabulary,
            "{}: the vocabulary has {} tokens, but vocab_size is {}", path.string(), model.tokenizer.vocabulary.size(),
            model.config.vocabulary);
    model.config.tied_decoder = true;  // no head here has a decoder
    model.config.special = model.tokenizer.vocabulary.special();
    return model;
}

TaskHeadPointer task_head(const tasks::Task& task, int64_t columns, float dropout) {
    switch (task.kind) {
        case tasks::Kind::regression:
            return regression_head(dropout);
        case tasks::Kind::choice:
            return choice_head(columns, dropout);
        case tasks::Kind::token:
            return token_head(columns, dropout);
        case tasks::Kind::span:
            return span_head();
        default:
            return classifier_head(columns, dropout);
    }
}

void save_task_model(const fs::path& folder, const tasks::Task& task, const std::vector<std::string>& labels,
                     const Parameters& parameters, const float* values, const ModelFolder& model,
                     double classifier_dropout) {
    SafetensorsWriter writer;
    writer.metadata("format", "pt");
    int64_t columns = 0;  // of the linear layer, whose bias comes last
    for (const HfTensor& t : parameters.tensors()) {
        writer.add(t.name, {values + t.offset, static_cast<size_t>(t.shape.size())}, t.shape.dimensions());
        columns = t.shape[0];
    }
    writer.write(folder / "model.safetensors");
    write_text(folder / "config.json", task_config(task, labels, parameters, columns, classifier_dropout));
    save_tokenizer(folder, model.tokenizer.vocabulary, model.tokenizer.normalization,
                   parameters.config().max_positions);
}

}  // namespace dropforge
