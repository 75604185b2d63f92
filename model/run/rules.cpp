// RunConfig::validate(): the rules between keys.

#include "base/error.h"
#include "model/run/config.h"

namespace dropforge {

std::string RunConfig::named(const char* key) const {
    const auto origin = origins.find(key);
    return origin == origins.end() ? std::string(key) : fmt::format("{} ({})", key, origin->second);
}

void RunConfig::validate() const {
    const auto key = [&](const char* name) { return named(name); };
    model.validate("model");
    require(data.sequence <= model.max_positions, "{} is {}: it must be at most {} = {}", key("data.sequence"),
            data.sequence, key("model.max_positions"), model.max_positions);
    require(data.predictions() <= data.sequence - 2,
            "{} is {}: it must be at most {} − 2 = {}, the positions that may be masked", key("data.max_predictions"),
            data.predictions(), key("data.sequence"), data.sequence - 2);
    require(train.micro_batch == 0 || train.batch % train.micro_batch == 0,
            "{} is {}: it must be a multiple of {} = {}", key("train.batch"), train.batch, key("train.micro_batch"),
            train.micro_batch);
    require(train.warmup() <= train.steps, "{} is {}: it must be at most {} = {}", key("train.warmup_steps"),
            train.warmup(), key("train.steps"), train.steps);
    require(train.end_lr <= train.lr, "{} is {}: it must be at most {} = {}", key("train.end_lr"), train.end_lr,
            key("train.lr"), train.lr);
    if (const MethodEntry& entry = method_entry(train.method); entry.check != nullptr)
        entry.check(shape(), method_options, [this](const char* name) { return named(name); });
}

std::shared_ptr<const Method> RunConfig::method() const {
    return method_entry(train.method).make(shape(), method_options);
}

}  // namespace dropforge
