#include "finetune/evaluation/result.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/tasks/metrics/metrics_json.h"

namespace dropforge {

namespace {

using Json = nlohmann::ordered_json;
using tasks::json_of;

/// In the order of Kind.
constexpr std::array kKindNames{"single", "pair", "regression", "choice", "token", "span"};

Json json_of(const FileCounts& counts) {
    return {{"examples", counts.examples},
            {"items", counts.items},
            {"truncated", counts.truncated},
            {"skipped", counts.skipped}};
}

Json json_of(const EpochResult& epoch) {
    return {{"epoch", epoch.epoch},
            {"step", epoch.step},
            {"loss", json_of(epoch.loss)},
            {"main", json_of(epoch.main)},
            {"metrics", json_of(epoch.metrics)}};
}

Json json_of(const SeedResult& seed) {
    Json json = {{"seed", seed.seed},
                 {"steps", seed.steps},
                 {"best_epoch", seed.best_epoch},
                 {"main", json_of(seed.best().main)},
                 {"metrics", json_of(seed.best().metrics)},
                 {"examples_per_second", seed.examples_per_second},
                 {"epochs", Json::array()}};
    for (const EpochResult& epoch : seed.epochs) json["epochs"].push_back(json_of(epoch));
    return json;
}

}  // namespace

Spread spread_of(std::span<const std::optional<double>> values) {
    const auto count = static_cast<double>(values.size());
    double sum = 0, squares = 0;
    for (const std::optional<double>& value : values) {
        if (!value) return {};
        sum += *value;
    }
    const double mean = sum / count;
    for (const std::optional<double>& value : values) squares += (*value - mean) * (*value - mean);
    if (values.size() == 1) return {.mean = mean};
    return {.mean = mean, .deviation = std::sqrt(squares / (count - 1))};
}

int64_t epoch_to_keep(std::span<const EpochResult> epochs, KeptEpoch keep) {
    if (keep == KeptEpoch::last) return static_cast<int64_t>(epochs.size());
    // None is smaller than any number.
    return std::ranges::max_element(epochs, {}, &EpochResult::main) - epochs.begin() + 1;
}

Spread recorded_main(const JsonObject& result) {
    const std::vector<JsonObject> seeds = result.objects("seeds");
    require(!seeds.empty(), "{}: no seed", result.where());
    std::vector<std::optional<double>> mains;
    mains.reserve(seeds.size());
    for (const JsonObject& seed : seeds)
        mains.push_back(seed.has("main") ? std::optional(seed.number("main")) : std::nullopt);
    return spread_of(mains);
}

Spread FinetuneResult::main() const {
    std::vector<std::optional<double>> values;
    for (const SeedResult& seed : seeds) values.push_back(seed.best().main);
    return spread_of(values);
}

std::string FinetuneResult::to_json() const {
    Json json = {{"task", task},           {"kind", kKindNames[static_cast<size_t>(kind)]},
                 {"labels", labels},       {"train", json_of(train)},
                 {"eval", json_of(eval)},  {"seeds", Json::array()},
                 {"mean", Json::object()}, {"std", Json::object()}};
    for (const SeedResult& seed : seeds) json["seeds"].push_back(json_of(seed));
    const tasks::Metrics& metrics = seeds.front().best().metrics;
    for (size_t i = 0; i < metrics.size(); ++i) {
        std::vector<std::optional<double>> values;
        for (const SeedResult& seed : seeds) values.push_back(seed.best().metrics[i].second);
        const Spread spread = spread_of(values);
        json["mean"][metrics[i].first] = json_of(spread.mean);
        json["std"][metrics[i].first] = json_of(spread.deviation);
    }
    if (!grid.empty()) json["grid"] = Json::array();
    for (const GridPoint& point : grid)
        json["grid"].push_back({{"settings", point.settings}, {"main", json_of(point.main)}, {"chosen", point.chosen}});
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace dropforge
