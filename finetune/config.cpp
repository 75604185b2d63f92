#include "finetune/config.h"

#include <cmath>

#include "base/error.h"

namespace dropforge {

Schedule FinetuneConfig::Train::learning_rate(int64_t of_steps) const {
    const double share = std::floor(warmup * static_cast<double>(of_steps) + 0.5);
    return {.kind = schedule == Decay::linear ? ScheduleKind::linear : ScheduleKind::constant,
            .lr = lr,
            .warmup_steps = static_cast<int64_t>(share),
            .steps = of_steps};
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
