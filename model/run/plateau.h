// A loss that stands on the unigram line: noticed once, with what the data says of the usual causes.
#pragma once

#include <cstdint>
#include <string>

#include "data/shards/dataset.h"
#include "model/config/config.h"

namespace dropforge {

/// Says when a run has learned no more than how frequent each token is for so long that something is probably wrong:
/// its loss was at 95 % of the unigram entropy or above from the end of the warm-up on, for 1000 steps or a third of
/// the run, and for 200 at least.
class PlateauWatch {
  public:
    /// `unigram_entropy`: nats, Dataset::unigram_entropy(). `step`: the last one done before.
    PlateauWatch(const TrainOptions& train, double unigram_entropy, int64_t step);

    /// Whether it is to be said now. `loss`: the mean of the steps since the call before, up to `step`.
    bool stands(int64_t step, double loss);
    /// The step from which on it stood.
    int64_t since() const { return since_; }

  private:
    double line_;
    int64_t patience_, since_;
};

/// What the first tokens (up to 2^21) of a split say of causes that lie in the data.
struct DataSigns {
    double unknown = 0;   // share of [UNK], of all the data
    double repeated = 0;  // share of the tokens that are in documents, of 4 tokens or more, that had occurred before
    /// Nats that a word's last token tells of the next word's first: mutual information, less what chance gives (that
    /// of the same tokens shuffled). English has more than ½, shuffled words have none.
    double order = 0;

    static DataSigns of(const data::Dataset& dataset);
};

/// For people: where the loss stands, the usual causes, and which of them the data rules out.
std::string plateau_text(const TrainOptions& train, double loss, double unigram_entropy, int64_t since,
                         const DataSigns& signs);

}  // namespace dropforge
