#include "model/config/fields.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace dropforge::config {

namespace {

constexpr Range kProbability{0, 1, true, true};

template <size_t n>
std::vector<const char*> all(const std::array<const char*, n>& names) {
    return {names.begin(), names.end()};
}

std::vector<Field> model_and_data(RunConfig& c) {
    return {
        {"model", "preset", Preset{&c.model}},
        {.table = "model",
         .name = "hidden",
         .slot = &c.model.hidden,
         .range = {1, 65536},
         .after = [&c] { c.model.intermediate = 4 * c.model.hidden; }},
        {"model", "layers", &c.model.layers, {1, 1024}},
        {"model", "heads", &c.model.heads, {1, 65536}},
        {"model", "intermediate", &c.model.intermediate, {1, 1048576}},
        {"model", "max_positions", &c.model.max_positions, {2, 65536}},
        {"model", "activation", choice(c.model.gelu), kAny, {"gelu", "gelu_new"}},
        {"model", "dropout", &c.model.hidden_dropout, kDropout},
        {"model", "attention_dropout", &c.model.attention_dropout, kDropout},
        {"model", "initializer_range", &c.model.initializer_range, kPositive},
        {"model", "init", choice(c.model.init), kAny, {"normal", "mimetic"}},

        {.table = "data",
         .name = "path",
         .slot = &c.data.path,
         .defines_run = false},  // the same data may be moved: a checkpoint has its fingerprint
        {"data", "sequence", &c.data.sequence, {3, 65536}},  // [CLS] token [SEP]
        {"data", "max_predictions", Derived{&c.data.max_predictions, c.data.predictions()}, {1, 65536}},
        {"data", "mask_probability", &c.data.mask_probability, kProbability},
        {"data", "masking", choice(c.data.masking), kAny, {"dynamic", "static"}},
        {"data", "whole_word", &c.data.whole_word},
        {"data", "pairs", choice(c.data.pairs), kAny, all(data::kPairsNames)},
        {"data", "short_sequences", &c.data.short_sequences, {0, 1}},
    };
}

std::vector<Field> training(RunConfig& c) {
    return {
        {"train", "method", choice(c.train.method, method_names()), kAny, method_names()},
        {.table = "train", .name = "steps", .slot = &c.train.steps, .range = {1, kMany}, .defines_run = false},
        {"train", "batch", &c.train.batch, {1, kMany}},
        {.table = "train",
         .name = "micro_batch",
         .slot = &c.train.micro_batch,
         .range = {0, kMany},
         .kept_on_resume = true},
        {.table = "train",
         .name = "precision",
         .slot = choice(c.train.precision),
         .choices = all(kPrecisionNames),
         .kept_on_resume = true},
        {.table = "train",
         .name = "gelu_output",
         .slot = choice(c.train.gelu_output),
         .choices = {"auto", "keep", "recompute"},
         .defines_run = false},
        {"train", "seed", &c.train.seed, {0, 0x1p63}},
        {"train", "tf32", &c.train.tf32},
        {"train", "optimizer", choice(c.train.optimizer), kAny, {"adamw", "lamb"}},
        {"train", "lr", &c.train.lr, kPositive},
        {.table = "train",
         .name = "warmup_steps",
         .slot = Derived{&c.train.warmup_steps, c.train.warmup()},
         .range = {0, kMany},
         .kept_on_resume = true},
        {"train", "schedule", choice(c.train.schedule), kAny, {"linear", "cosine", "polynomial", "constant"}},
        {"train", "power", &c.train.power, kPositive},
        {"train", "end_lr", &c.train.end_lr, kNotNegative},
        {"train", "beta1", &c.train.beta1, kBelowOne},
        {"train", "beta2", &c.train.beta2, kBelowOne},
        {"train", "epsilon", &c.train.epsilon, kPositive},
        {"train", "weight_decay", &c.train.weight_decay, kNotNegative},
        {"train", "clip", &c.train.clip, kNotNegative},
    };
}

/// The keys of methods.
std::vector<Field> method_fields(RunConfig& c) {
    const MethodEntry& own = method_entry(c.train.method);
    std::vector<Field> fields;
    for (const MethodEntry& method : methods())
        for (const MethodKey& key : method.keys) {
            Field& field = fields.emplace_back(Field{.table = key.table,
                                                     .name = key.name,
                                                     .slot = key.slot(c.method_options),
                                                     .range = key.range,
                                                     .choices = key.choices,
                                                     .is_read = own.reads(key.table)});
            if (key.after != nullptr) field.after = [&c, after = key.after] { after(c.method_options); };
        }
    return fields;
}

/// The keys of evaluation, checkpoints and log, which a resumed run may change.
std::vector<Field> reports(RunConfig& c) {
    std::vector<Field> fields;
    const auto add = [&](const char* table, const char* name, const Slot& slot, Range range = kAny) {
        fields.push_back({.table = table, .name = name, .slot = slot, .range = range, .defines_run = false});
    };
    add("eval", "every", &c.eval.every, {0, kMany});
    add("eval", "sequences", &c.eval.sequences, {1, kMany});
    add("checkpoint", "every", &c.checkpoint.every, {0, kMany});
    add("checkpoint", "keep_last", &c.checkpoint.keep_last, {1, kMany});
    add("checkpoint", "keep_every", &c.checkpoint.keep_every, {0, kMany});
    add("log", "every", &c.log.every, {1, kMany});
    add("log", "tensorboard", &c.log.tensorboard);
    add("log", "report", &c.log.report);
    return fields;
}

/// Adds the field at the end of its table, which may exist already.
void add_field(std::vector<Field>& fields, const Field& field) {
    const auto last = std::ranges::find_if(fields.rbegin(), fields.rend(),
                                           [&](const Field& f) { return std::string_view(f.table) == field.table; });
    fields.insert(last == fields.rend() ? fields.end() : last.base(), field);
}

}  // namespace

std::vector<Field> fields(RunConfig& config) {
    std::vector<Field> fields;
    for (const auto& part : {model_and_data(config), training(config), method_fields(config), reports(config)})
        for (const Field& field : part) add_field(fields, field);
    return fields;
}

}  // namespace dropforge::config
