// RunConfig::validate(): the rules between keys.

#include "base/error.h"
#include "model/config/config.h"

namespace dropforge {

std::string named_key(const std::map<std::string, std::string>& origins, const char* key) {
    const auto origin = origins.find(key);
    return origin == origins.end() ? std::string(key) : fmt::format("{} ({})", key, origin->second);
}

void RunConfig::validate() const {
    const auto key = [this](const char* name) { return named_key(origins, name); };
    model.validate("model");
    require(data.sequence <= model.max_positions, "{} is {}: it must be at most {} = {}", key("data.sequence"),
            data.sequence, key("model.max_positions"), model.max_positions);
    const bool pairs = data.pairs != data::Pairs::none;
    require(!pairs || data.sequence >= 5, "{} is {}: with {} it must be at least 5, [CLS] A [SEP] B [SEP]",
            key("data.sequence"), data.sequence, key("data.pairs"));
    const int64_t special = pairs ? 3 : 2;
    require(data.predictions() <= data.sequence - special,
            "{} is {}: it must be at most {} − {} = {}, the positions that may be masked", key("data.max_predictions"),
            data.predictions(), key("data.sequence"), special, data.sequence - special);
    require(train.micro_batch == 0 || train.batch % train.micro_batch == 0,
            "{} is {}: it must be a multiple of {} = {}", key("train.batch"), train.batch, key("train.micro_batch"),
            train.micro_batch);
    require(train.warmup() <= train.steps, "{} is {}: it must be at most {} = {}", key("train.warmup_steps"),
            train.warmup(), key("train.steps"), train.steps);
    require(train.end_lr <= train.lr, "{} is {}: it must be at most {} = {}", key("train.end_lr"), train.end_lr,
            key("train.lr"), train.lr);
    if (const MethodEntry& entry = method_entry(train.method); entry.check != nullptr)
        entry.check(shape(), method_options, key);
    require(!pairs || !method()->mask_token_share(),
            "{} is \"{}\", for which every sequence has as many [MASK] as another: a short pair has no room for them "
            "({} = \"none\")",
            key("train.method"), train.method, key("data.pairs"));
}

std::shared_ptr<const Method> RunConfig::method() const {
    return method_entry(train.method).make(shape(), method_options);
}

}  // namespace dropforge
