#include "finetune/evaluation/finetuned_model.h"

#include <algorithm>

#include "base/error.h"
#include "finetune/evaluation/task_batch.h"
#include "finetune/evaluation/task_files.h"
#include "finetune/evaluation/task_predictor.h"
#include "model/checkpoint/huggingface.h"
#include "model/checkpoint/tensor_files.h"

namespace dropforge {

namespace {

using tasks::Kind;

int64_t classes_of(const ModelFolder& model) {
    static constexpr const char* kWeight = "classifier.weight";
    const TensorFiles files(model.path);
    require(files.has(kWeight), "{}: no head of {}: the tensor {} is missing", files.where(), model.architecture,
            kWeight);
    return files.file(kWeight).info(kWeight).shape.at(0);
}

/// Those of id2label, or LABEL_n, as transformers calls them.
std::vector<std::string> labels_of(const ModelFolder& model, int64_t classes) {
    std::vector<std::string> labels = model.labels;
    require(labels.empty() || std::ssize(labels) == classes, "{}: id2label has {} labels, but the head has {}",
            (model.path / "config.json").string(), labels.size(), classes);
    for (int64_t i = std::ssize(labels); i < classes; ++i) labels.push_back(fmt::format("LABEL_{}", i));
    return labels;
}

/// As transformers decides it: without problem_type one logit is a number.
TrainedHead sequence_head(const ModelFolder& model) {
    static constexpr std::string_view kNumber = "regression", kClass = "single_label_classification";
    const std::string file = (model.path / "config.json").string(), &problem = model.problem_type;
    require(problem.empty() || problem == kNumber || problem == kClass, "{}: problem_type is {}, expected {} or {}",
            file, problem, kClass, kNumber);
    const int64_t classes = classes_of(model);
    if (problem == kClass || (problem.empty() && classes > 1))
        return {.kind = Kind::single, .labels = labels_of(model, classes)};
    require(classes == 1, "{}: problem_type is {}, but the head has {} logits, expected one", file, kNumber, classes);
    return {.kind = Kind::regression};
}

}  // namespace

TrainedHead trained_head(const ModelFolder& model) {
    const std::string& name = model.architecture;
    if (name == "BertForSequenceClassification") return sequence_head(model);
    if (name == "BertForTokenClassification")
        return {.kind = Kind::token, .labels = labels_of(model, classes_of(model))};
    if (name == "BertForMultipleChoice") return {.kind = Kind::choice};
    if (name == "BertForQuestionAnswering") return {.kind = Kind::span};
    throw Error(
        "{}: no head for a task: architectures has {}, expected BertForSequenceClassification, "
        "BertForTokenClassification, BertForMultipleChoice or BertForQuestionAnswering",
        (model.path / "config.json").string(), name.empty() ? "no name" : name);
}

TaskLogits logits_of(const ModelFolder& model, const TaskData& data, const LogitsOptions& options,
                     const Device& device) {
    require_computes(device, options.dtype);
    const TaskHeadPointer head = task_head(data.task, head_columns(data), 0);
    const Parameters parameters(model.config, {head});
    const Buffer values(parameters.size() * static_cast<int64_t>(sizeof(float)));
    const std::vector<std::string> missing = load_encoder(model.path, parameters, values.as<float>());
    require(missing.empty(), "{}: no head for {}: the tensor {} is missing or has another shape", model.path.string(),
            data.task.name, missing.empty() ? "" : missing.front());
    TaskPredictor predictor(parameters, head,
                            {.batch = std::min(options.batch, std::ssize(data.items.items)),
                             .sequences = sequences_per_item(data),
                             .max_length = options.max_length,
                             .bucket_step = bucket_step(device.kind != "cpu"),
                             .pad = model.config.special->pad,
                             .dtype = options.dtype},
                            values.as<float>(), *device.kernels);
    return predictor.run(data);
}

}  // namespace dropforge
