#include "model/run_fields.h"

#include <limits>

namespace dropforge::config {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMany = 2147483647;  // steps, sequences
constexpr Range kPositive{0, kInfinity, true, true}, kNotNegative{0, kInfinity, false, true};
constexpr Range kProbability{0, 1, true, true}, kBelowOne{0, 1, false, true};

using Config = RunConfig;

template <typename Enum>
Choice choice(Enum& value) {
    return {static_cast<size_t>(value), [&value](size_t chosen) { value = static_cast<Enum>(chosen); }};
}

std::vector<Field> make_fields() {
    std::vector<Field> fields = {
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
        {"model", "dropout", [](Config& c) -> Slot { return &c.model.hidden_dropout; }, kBelowOne},
        {"model", "attention_dropout", [](Config& c) -> Slot { return &c.model.attention_dropout; }, kBelowOne},
        {"model", "initializer_range", [](Config& c) -> Slot { return &c.model.initializer_range; }, kPositive},

        {"data", "path", [](Config& c) -> Slot { return &c.data.path; }},
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

        {"train", "method", [](Config& c) -> Slot { return choice(c.train.method); }, kAny, {"dense"}},
        {.table = "train",
         .name = "steps",
         .slot = [](Config& c) -> Slot { return &c.train.steps; },
         .range = {1, kMany},
         .defines_run = false},
        {"train", "batch", [](Config& c) -> Slot { return &c.train.batch; }, {1, kMany}},
        {"train", "micro_batch", [](Config& c) -> Slot { return &c.train.micro_batch; }, {0, kMany}},
        {"train",
         "precision",
         [](Config& c) -> Slot { return choice(c.train.precision); },
         kAny,
         {"auto", "bf16", "f32"}},
        {"train", "seed", [](Config& c) -> Slot { return &c.train.seed; }, {0, 0x1p63}},
        {"train", "optimizer", [](Config& c) -> Slot { return choice(c.train.optimizer); }, kAny, {"adamw", "lamb"}},
        {"train", "lr", [](Config& c) -> Slot { return &c.train.lr; }, kPositive},
        {"train",
         "warmup_steps",
         [](Config& c) -> Slot {
             return Derived{&c.train.warmup_steps, c.train.warmup()};
         },
         {0, kMany}},
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
    const auto may_change = [&](const char* table, const char* name, Slot (*slot)(Config&), Range range) {
        fields.push_back({.table = table, .name = name, .slot = slot, .range = range, .defines_run = false});
    };
    may_change("eval", "every", [](Config& c) -> Slot { return &c.eval.every; }, {0, kMany});
    may_change("eval", "sequences", [](Config& c) -> Slot { return &c.eval.sequences; }, {1, kMany});
    may_change("checkpoint", "every", [](Config& c) -> Slot { return &c.checkpoint.every; }, {0, kMany});
    may_change("checkpoint", "keep_last", [](Config& c) -> Slot { return &c.checkpoint.keep_last; }, {1, kMany});
    may_change("checkpoint", "keep_every", [](Config& c) -> Slot { return &c.checkpoint.keep_every; }, {0, kMany});
    may_change("log", "every", [](Config& c) -> Slot { return &c.log.every; }, {1, kMany});
    may_change(
        "log", "tensorboard", [](Config& c) -> Slot { return &c.log.tensorboard; }, kAny);
    return fields;
}

}  // namespace

const std::vector<Field>& fields() {
    static const std::vector<Field> all = make_fields();
    return all;
}

}  // namespace dropforge::config
