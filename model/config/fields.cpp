#include "model/config/fields.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

namespace dropforge::config {

namespace {

constexpr Range kProbability{0, 1, true, true}, kDropout{0, kernels::Dropout::kLimit, false, true};

using Config = RunConfig;

template <size_t n>
std::vector<const char*> all(const std::array<const char*, n>& names) {
    return {names.begin(), names.end()};
}

std::vector<Field> model_and_data() {
    return {
        {"model", "preset", [](Config& c) -> Slot { return Preset{&c.model}; }},
        {.table = "model",
         .name = "hidden",
         .slot = [](Config& c) -> Slot { return &c.model.hidden; },
         .range = {1, 65536},
         .after = [](Config& c) { c.model.intermediate = 4 * c.model.hidden; }},
        {"model", "layers", [](Config& c) -> Slot { return &c.model.layers; }, {1, 1024}},
        {"model", "heads", [](Config& c) -> Slot { return &c.model.heads; }, {1, 65536}},
        {"model", "intermediate", [](Config& c) -> Slot { return &c.model.intermediate; }, {1, 1048576}},
        {"model", "max_positions", [](Config& c) -> Slot { return &c.model.max_positions; }, {2, 65536}},
        {"model", "activation", [](Config& c) -> Slot { return choice(c.model.gelu); }, kAny, {"gelu", "gelu_new"}},
        {"model", "dropout", [](Config& c) -> Slot { return &c.model.hidden_dropout; }, kDropout},
        {"model", "attention_dropout", [](Config& c) -> Slot { return &c.model.attention_dropout; }, kDropout},
        {"model", "initializer_range", [](Config& c) -> Slot { return &c.model.initializer_range; }, kPositive},
        {"model", "init", [](Config& c) -> Slot { return choice(c.model.init); }, kAny, {"normal", "mimetic"}},

        {.table = "data",
         .name = "path",
         .slot = [](Config& c) -> Slot { return &c.data.path; },
         .defines_run = false},  // the same data may be moved: a checkpoint has its fingerprint
        {"data", "sequence", [](Config& c) -> Slot { return &c.data.sequence; }, {3, 65536}},  // [CLS] token [SEP]
        {"data",
         "max_predictions",
         [](Config& c) -> Slot {
             return Derived{&c.data.max_predictions, c.data.predictions()};
         },
         {1, 65536}},
        {"data", "mask_probability", [](Config& c) -> Slot { return &c.data.mask_probability; }, kProbability},
        {"data", "masking", [](Config& c) -> Slot { return choice(c.data.masking); }, kAny, {"dynamic", "static"}},
        {"data", "whole_word", [](Config& c) -> Slot { return &c.data.whole_word; }},
        {"data", "pairs", [](Config& c) -> Slot { return choice(c.data.pairs); }, kAny, all(data::kPairsNames)},
        {"data", "short_sequences", [](Config& c) -> Slot { return &c.data.short_sequences; }, {0, 1}},
    };
}

std::vector<Field> training() {
    return {
        {"train", "method", [](Config& c) -> Slot { return choice(c.train.method, method_names()); }, kAny,
         method_names()},
        {.table = "train",
         .name = "steps",
         .slot = [](Config& c) -> Slot { return &c.train.steps; },
         .range = {1, kMany},
         .defines_run = false},
        {"train", "batch", [](Config& c) -> Slot { return &c.train.batch; }, {1, kMany}},
        {.table = "train",
         .name = "micro_batch",
         .slot = [](Config& c) -> Slot { return &c.train.micro_batch; },
         .range = {0, kMany},
         .kept_on_resume = true},
        {.table = "train",
         .name = "precision",
         .slot = [](Config& c) -> Slot { return choice(c.train.precision); },
         .choices = all(kPrecisionNames),
         .kept_on_resume = true},
        {.table = "train",
         .name = "gelu_output",
         .slot = [](Config& c) -> Slot { return choice(c.train.gelu_output); },
         .choices = {"auto", "keep", "recompute"},
         .defines_run = false},
        {"train", "seed", [](Config& c) -> Slot { return &c.train.seed; }, {0, 0x1p63}},
        {"train", "tf32", [](Config& c) -> Slot { return &c.train.tf32; }},
        {"train", "optimizer", [](Config& c) -> Slot { return choice(c.train.optimizer); }, kAny, {"adamw", "lamb"}},
        {"train", "lr", [](Config& c) -> Slot { return &c.train.lr; }, kPositive},
        {.table = "train",
         .name = "warmup_steps",
         .slot = [](Config& c) -> Slot {
             return Derived{&c.train.warmup_steps, c.train.warmup()};
         },
         .range = {0, kMany},
         .kept_on_resume = true},
        {"train",
         "schedule",
         [](Config& c) -> Slot { return choice(c.train.schedule); },
         kAny,
         {"linear", "cosine", "polynomial", "constant"}},
        {"train", "power", [](Config& c) -> Slot { return &c.train.power; }, kPositive},
        {"train", "end_lr", [](Config& c) -> Slot { return &c.train.end_lr; }, kNotNegative},
        {"train", "beta1", [](Config& c) -> Slot { return &c.train.beta1; }, kBelowOne},
        {"train", "beta2", [](Config& c) -> Slot { return &c.train.beta2; }, kBelowOne},
        {"train", "epsilon", [](Config& c) -> Slot { return &c.train.epsilon; }, kPositive},
        {"train", "weight_decay", [](Config& c) -> Slot { return &c.train.weight_decay; }, kNotNegative},
        {"train", "clip", [](Config& c) -> Slot { return &c.train.clip; }, kNotNegative},
    };
}

/// The keys of methods.
std::vector<Field> method_fields() {
    std::vector<Field> fields;
    for (const MethodEntry& method : methods())
        for (const MethodKey& key : method.keys) {
            Field& field = fields.emplace_back();
            field = {.table = key.table,
                     .name = key.name,
                     .slot = [slot = key.slot](Config& c) { return slot(c.method_options); },
                     .range = key.range,
                     .choices = key.choices,
                     .of_method = true};
            if (key.after != nullptr) field.after = [after = key.after](Config& c) { after(c.method_options); };
        }
    return fields;
}

/// The keys of evaluation, checkpoints and log, which a resumed run may change.
std::vector<Field> reports() {
    std::vector<Field> fields;
    const auto add = [&](const char* table, const char* name, Slot (*slot)(Config&), Range range) {
        fields.push_back({.table = table, .name = name, .slot = slot, .range = range, .defines_run = false});
    };
    add("eval", "every", [](Config& c) -> Slot { return &c.eval.every; }, {0, kMany});
    add("eval", "sequences", [](Config& c) -> Slot { return &c.eval.sequences; }, {1, kMany});
    add("checkpoint", "every", [](Config& c) -> Slot { return &c.checkpoint.every; }, {0, kMany});
    add("checkpoint", "keep_last", [](Config& c) -> Slot { return &c.checkpoint.keep_last; }, {1, kMany});
    add("checkpoint", "keep_every", [](Config& c) -> Slot { return &c.checkpoint.keep_every; }, {0, kMany});
    add("log", "every", [](Config& c) -> Slot { return &c.log.every; }, {1, kMany});
    add(
        "log", "tensorboard", [](Config& c) -> Slot { return &c.log.tensorboard; }, kAny);
    add(
        "log", "report", [](Config& c) -> Slot { return &c.log.report; }, kAny);
    return fields;
}

/// Adds the field at the end of its table, which may exist already.
void add_field(std::vector<Field>& fields, const Field& field) {
    const auto last = std::ranges::find_if(fields.rbegin(), fields.rend(),
                                           [&](const Field& f) { return std::string_view(f.table) == field.table; });
    fields.insert(last == fields.rend() ? fields.end() : last.base(), field);
}

std::vector<Field> make_fields() {
    std::vector<Field> fields;
    for (const auto& part : {model_and_data(), training(), method_fields(), reports()})
        for (const Field& field : part) add_field(fields, field);
    return fields;
}

}  // namespace

const std::vector<Field>& fields() {
    static const std::vector<Field> all = make_fields();
    return all;
}

}  // namespace dropforge::config
