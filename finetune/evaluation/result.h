// result.json: what a fine-tuning run came to.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/json_object.h"
#include "data/tasks/metrics/metrics.h"
#include "finetune/config/config.h"

namespace dropforge {

/// An evaluation after an epoch, or after the last step.
struct EpochResult {
    int64_t epoch = 1, step = 0;  // from 1
    std::optional<double> loss = {}, main = {};
    tasks::Metrics metrics = {};
};

struct SeedResult {
    int64_t seed = 1, steps = 0;
    double examples_per_second = 0;  // items of training steps
    int64_t best_epoch = 1;          // the one whose weights and predictions were written
    std::vector<EpochResult> epochs = {};

    const EpochResult& best() const { return epochs[static_cast<size_t>(best_epoch - 1)]; }
};

/// The epoch to keep, from 1: the last, or the earliest with the largest main metric, where one that is not defined is
/// smaller than any. `epochs` is not empty.
int64_t epoch_to_keep(std::span<const EpochResult> epochs, KeptEpoch keep);

/// Of a number over the seeds: none if one of them is not defined; of one seed no deviation (n − 1).
struct Spread {
    std::optional<double> mean = {}, deviation = {};
};
Spread spread_of(std::span<const std::optional<double>> values);

/// Of the main metrics in a result.json that was written before. Throws Error if it has no seed.
Spread recorded_main(const JsonObject& result);

/// A point of --grid, measured on the held-out part of the training file.
struct GridPoint {
    std::string settings;  // "train.lr=2e-5 train.batch=16"
    std::optional<double> main = {};
    bool chosen = false;  // for the runs that are reported
};

struct FileCounts {
    int64_t examples = 0, items = 0, truncated = 0, skipped = 0;
};

struct FinetuneResult {
    std::string task;  // as it was given
    tasks::Kind kind = tasks::Kind::single;
    std::vector<std::string> labels = {};
    FileCounts train = {}, eval = {};
    std::vector<SeedResult> seeds = {};
    std::vector<GridPoint> grid = {};

    /// Of the seeds' main metrics.
    Spread main() const;
    /// Mean and standard deviation (n − 1; null for one seed) of every metric are those of the kept epochs; null where
    /// a metric is not defined for a seed.
    std::string to_json() const;
};

}  // namespace dropforge
