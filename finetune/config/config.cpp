#include "finetune/config/config.h"

#include <cmath>

#include "base/error.h"
#include "finetune/config/fields.h"
#include "model/config/key_table.h"

namespace dropforge {

Schedule FinetuneConfig::Train::learning_rate(int64_t of_steps) const {
    const double share = std::floor(warmup * static_cast<double>(of_steps) + 0.5);
    return {.kind = schedule == Decay::linear ? ScheduleKind::linear : ScheduleKind::constant,
            .lr = lr,
            .warmup_steps = static_cast<int64_t>(share),
            .steps = of_steps};
}

FinetuneConfig FinetuneConfig::from_toml(const std::string& text, const std::string& where) {
    FinetuneConfig config;
    config::read_toml(config::fields(config), config.origins, text, where);
    return config;
}

void FinetuneConfig::set(const std::vector<Setting>& settings) {
    FinetuneConfig changed = *this;  // so that a bad value changes nothing
    config::apply(config::fields(changed), changed.origins, settings);
    *this = std::move(changed);
}

std::string FinetuneConfig::to_toml() const {
    FinetuneConfig config = *this;  // fields are slots to write to
    return config::to_toml(config::fields(config));
}

std::string FinetuneConfig::difference(const FinetuneConfig& other) const {
    FinetuneConfig here = *this, there = other;
    return config::difference(config::fields(here), config::fields(there));
}

void FinetuneConfig::validate(int64_t layers, const std::vector<std::string>& labels) const {
    const auto key = [this](const char* name) { return named_key(origins, name); };
    require(train.frozen <= layers, "{} is {}: it must be at most {}, the layers of the model", key("train.frozen"),
            train.frozen, layers);
    if (train.class_weights.empty()) return;
    require(!labels.empty(), "{}: the task has no labels", key("train.class_weights"));
    require(train.class_weights.size() == labels.size(), "{} has {} numbers, expected one for each of the {} labels {}",
            key("train.class_weights"), train.class_weights.size(), labels.size(), fmt::join(labels, ", "));
}

}  // namespace dropforge
