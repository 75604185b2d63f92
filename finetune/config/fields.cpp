#include "finetune/config/fields.h"

#include "model/config/fields.h"

namespace dropforge::config {

namespace {

std::vector<Field> model_and_data(FinetuneConfig& c) {
    return {
        {"model", "dropout", &c.model.dropout, kDropout},
        {"model", "attention_dropout", &c.model.attention_dropout, kDropout},
        {"model", "classifier_dropout", &c.model.classifier_dropout, kDropout},

        {"data", "max_length", &c.data.max_length, {0, 65536}},
        {"data", "doc_stride", &c.data.doc_stride, {0, 65536}},
        {"data", "max_question", &c.data.max_question, {1, 65536}},
        {"data", "max_answer", &c.data.max_answer, {1, 65536}},
        {"data", "shuffle", &c.data.shuffle},
        {"data", "bucket", &c.data.bucket, {0, kMany}},
        {"data", "bad_lines", choice(c.data.bad_lines), kAny, {"error", "skip"}},
    };
}

std::vector<Field> training(FinetuneConfig& c) {
    return {
        {"train", "epochs", &c.train.epochs, {1, kMany}},
        {"train", "steps", &c.train.steps, {0, kMany}},
        {"train", "batch", &c.train.batch, {1, kMany}},
        {.table = "train",
         .name = "micro_batch",
         .slot = &c.train.micro_batch,
         .range = {0, kMany},
         .kept_on_resume = true},
        {"train", "lr", &c.train.lr, kPositive},
        {"train", "warmup", &c.train.warmup, {0, 1}},
        {"train", "schedule", choice(c.train.schedule), kAny, {"linear", "constant"}},
        {"train", "beta1", &c.train.beta1, kBelowOne},
        {"train", "beta2", &c.train.beta2, kBelowOne},
        {"train", "epsilon", &c.train.epsilon, kPositive},
        {"train", "weight_decay", &c.train.weight_decay, kNotNegative},
        {"train", "clip", &c.train.clip, kNotNegative},
        {"train", "class_weights", &c.train.class_weights, kPositive},
        {"train", "seed", &c.train.seed, {0, 0x1p63}},
        {.table = "train",
         .name = "precision",
         .slot = choice(c.train.precision),
         .choices = {kPrecisionNames.begin(), kPrecisionNames.end()},
         .kept_on_resume = true},
        {"train", "frozen", &c.train.frozen, {0, 1024}},
        {"train", "layer_decay", &c.train.layer_decay, {0, 1, true}},
    };
}

std::vector<Field> evaluation_and_log(FinetuneConfig& c) {
    return {
        {"eval", "batch", &c.eval.batch, {1, kMany}},
        {"eval", "keep", choice(c.eval.keep), kAny, {"best", "last"}},
        {"eval", "null_threshold", &c.eval.null_threshold, kFinite},
        {.table = "log", .name = "every", .slot = &c.log.every, .range = {1, kMany}, .defines_run = false},
        {.table = "log", .name = "examples", .slot = &c.log.examples, .defines_run = false},
    };
}

}  // namespace

std::vector<Field> fields(FinetuneConfig& config) {
    std::vector<Field> fields;
    for (const auto& part : {model_and_data(config), training(config), evaluation_and_log(config)})
        fields.insert(fields.end(), part.begin(), part.end());
    return fields;
}

}  // namespace dropforge::config
