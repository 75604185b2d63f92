// RunConfig::validate(): the rules between keys.

#include "base/error.h"
#include "model/run/config.h"

namespace dropforge {

namespace {

/// The layer in the middle splits them, one before and one after it see all tokens: docs/algorithms.md, "Token
/// dropping".
void validate_dropping(const RunConfig& c) {
    const auto key = [&](const char* name) { return c.named(name); };
    const char* method = name_of(c.train.method);
    require(c.model.layers % 2 == 0 && c.model.layers >= 4,
            "{} is {}: {} = \"{}\" wants an even number of layers, at least 4", key("model.layers"), c.model.layers,
            key("train.method"), method);
    const int64_t kept = c.dropping.keep.of(c.data.sequence);
    require(kept >= 2 && kept <= c.data.sequence,
            "{} is {}, which is {} of the {} tokens of {}: it must be 2 … {} of them", key("dropping.keep"),
            c.dropping.keep.text(), kept, c.data.sequence, key("data.sequence"), c.data.sequence);
    require(c.dropping.start_step <= c.train.steps, "{} is {}: it must be at most {} = {}", key("dropping.start_step"),
            c.dropping.start_step, key("train.steps"), c.train.steps);
    require(c.dropping.end_step == 0 || c.dropping.end_step > c.dropping.start_step,
            "{} is {}: it must be more than {} = {}, or 0 for none", key("dropping.end_step"), c.dropping.end_step,
            key("dropping.start_step"), c.dropping.start_step);
}

}  // namespace

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
    if (drops_tokens(train.method)) validate_dropping(*this);
}

}  // namespace dropforge
