// result.json, and the epoch that is kept.
#include "finetune/evaluation/result.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace dropforge;
using Json = nlohmann::json;

namespace {

EpochResult epoch(int64_t number, std::optional<double> main) {
    return {
        .epoch = number, .step = 10 * number, .loss = 0.5, .main = main, .metrics = {{"pearson", main}, {"mse", 2.0}}};
}

int64_t kept(const std::vector<std::optional<double>>& mains, KeptEpoch keep = KeptEpoch::best) {
    std::vector<EpochResult> epochs;
    for (const auto& main : mains) epochs.push_back(epoch(static_cast<int64_t>(epochs.size()) + 1, main));
    return epoch_to_keep(epochs, keep);
}

SeedResult seed(int64_t number, std::optional<double> main) {
    return {.seed = number,
            .steps = 20,
            .examples_per_second = 100,
            .best_epoch = 2,
            .epochs = {epoch(1, {}), epoch(2, main)}};
}

Json json_of(const std::vector<SeedResult>& seeds) {
    const FinetuneResult result{.task = "stsb", .kind = tasks::Kind::regression, .eval = {4, 3, 2, 1}, .seeds = seeds};
    return Json::parse(result.to_json());
}

}  // namespace

TEST_CASE("the kept epoch: the largest main metric, the earliest of equal ones; none is smaller than any") {
    CHECK(kept({0.5, 0.7, 0.7, 0.6}) == 2);
    CHECK(kept({{}, -0.5, {}}) == 2);
    CHECK(kept({{}, {}}) == 1);
    CHECK(kept({0.9, 0.1}, KeptEpoch::last) == 2);
}

TEST_CASE("result.json: one seed") {
    const Json json = json_of({seed(7, 0.25)});
    CHECK(json.at("task") == "stsb");
    CHECK(json.at("kind") == "regression");
    CHECK(json.at("labels") == Json::array());
    CHECK(json.at("eval") == Json{{"examples", 4}, {"items", 3}, {"truncated", 2}, {"skipped", 1}});
    const Json& first = json.at("seeds")[0];
    CHECK(first.at("seed") == 7);
    CHECK(first.at("steps") == 20);
    CHECK(first.at("best_epoch") == 2);
    CHECK(first.at("main") == 0.25);
    CHECK(first.at("metrics") == Json{{"pearson", 0.25}, {"mse", 2.0}});
    CHECK(first.at("examples_per_second") == 100.0);
    CHECK(first.at("epochs")[0] == Json{{"epoch", 1},
                                        {"step", 10},
                                        {"loss", 0.5},
                                        {"main", nullptr},
                                        {"metrics", {{"pearson", nullptr}, {"mse", 2.0}}}});
    CHECK(json.at("mean") == Json{{"pearson", 0.25}, {"mse", 2.0}});
    CHECK(json.at("std") == Json{{"pearson", nullptr}, {"mse", nullptr}});
}

TEST_CASE("result.json: mean and deviation over seeds, null where a seed has none") {
    const Json json = json_of({seed(1, 0.25), seed(2, 0.5), seed(3, 0.75)});
    CHECK(json.at("mean") == Json{{"pearson", 0.5}, {"mse", 2.0}});
    CHECK(json.at("std") == Json{{"pearson", 0.25}, {"mse", 0.0}});
    const Json undefined = json_of({seed(1, 0.25), seed(2, {})});
    CHECK(undefined.at("mean") == Json{{"pearson", nullptr}, {"mse", 2.0}});
    CHECK(undefined.at("std") == Json{{"pearson", nullptr}, {"mse", 0.0}});
}
