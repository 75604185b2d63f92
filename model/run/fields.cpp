#include "model/run/fields.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "model/methods/routing.h"

namespace dropforge::config {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMany = 2147483647;  // steps, sequences
constexpr Range kPositive{0, kInfinity, true, true}, kNotNegative{0, kInfinity, false, true};
constexpr Range kProbability{0, 1, true, true}, kBelowOne{0, 1, false, true},
    kDropout{0, kernels::Dropout::kLimit, false, true};

constexpr Range kAtLeastTwo{2, 65536};  // of positions

using Config = RunConfig;

template <typename Enum>
Choice choice(Enum& value) {
    return {static_cast<size_t>(value), [&value](size_t chosen) { value = static_cast<Enum>(chosen); }};
}

/// Of a value that is its name.
Choice choice(std::string& value, const std::vector<const char*>& names) {
    return {static_cast<size_t>(std::ranges::find(names, value) - names.begin()),
            [&value, names](size_t chosen) { value = names[chosen]; }};
}

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
    };
}

std::vector<Field> training() {
    return {
        {"train", "method", [](Config& c) -> Slot { return choice(c.train.method); }, kAny, all(kMethodNames)},
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
         .stays = true},
        {.table = "train",
         .name = "precision",
         .slot = [](Config& c) -> Slot { return choice(c.train.precision); },
         .choices = all(kPrecisionNames),
         .stays = true},
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
         .stays = true},
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

/// Keys of the methods that drop tokens, and of ScTD alone.
std::vector<Field> methods() {
    std::vector<Field> fields = {
        {"dropping", "keep", [](Config& c) -> Slot { return &c.dropping.keep; }, kAtLeastTwo},
        {"dropping", "routing", [](Config& c) -> Slot { return choice(c.dropping.routing, routing_names()); }, kAny,
         routing_names()},
        {"dropping", "importance_beta", [](Config& c) -> Slot { return &c.dropping.importance_beta; }, kBelowOne},
        {"dropping", "start_step", [](Config& c) -> Slot { return &c.dropping.start_step; }, {0, kMany}},
        {"dropping", "end_step", [](Config& c) -> Slot { return &c.dropping.end_step; }, {0, kMany}},

        {.table = "sctd",
         .name = "interval",
         .slot = [](Config& c) -> Slot { return &c.sctd.interval; },
         .range = {1, kMany},
         .after = [](Config& c) { c.sctd.interval_end.reset(); }},
        {"sctd",
         "interval_end",
         [](Config& c) -> Slot {
             return Derived{&c.sctd.interval_end, c.sctd.last_interval()};
         },
         {1, kMany}},
        {.table = "sctd",
         .name = "lambda",
         .slot = [](Config& c) -> Slot { return &c.sctd.lambda; },
         .range = kNotNegative,
         .after = [](Config& c) { c.sctd.lambda_end.reset(); }},
        {"sctd", "lambda_end",
         [](Config& c) -> Slot {
             return Derived{&c.sctd.lambda_end, c.sctd.last_lambda()};
         },
         kNotNegative},
        {"sctd", "pooled", [](Config& c) -> Slot { return choice(c.sctd.pooled); }, kAny, all(kPoolingNames)},
        {"sctd", "kl_normalization", [](Config& c) -> Slot { return choice(c.sctd.kl_normalization); }, kAny,
         all(kKlNormalizationNames)},
        {"sctd", "full_mlm", [](Config& c) -> Slot { return &c.sctd.full_mlm; }},
        {"sctd", "share_trunk", [](Config& c) -> Slot { return &c.sctd.share_trunk; }},
        {"sctd", "recompute", [](Config& c) -> Slot { return &c.sctd.recompute; }},
    };
    for (Field& field : fields)
        field.used_by = std::string_view(field.table) == "sctd" ? aligns_semantics : drops_tokens;
    return fields;
}

/// What a resumed run may change.
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
    return fields;
}

std::vector<Field> make_fields() {
    std::vector<Field> fields;
    for (const auto& part : {model_and_data(), training(), methods(), reports()})
        fields.insert(fields.end(), part.begin(), part.end());
    return fields;
}

}  // namespace

const std::vector<Field>& fields() {
    static const std::vector<Field> all = make_fields();
    return all;
}

}  // namespace dropforge::config
