// Batches: packed or paired, shuffled, masked and prefetched. A batch is a function of the step's number alone, so the
// position of a run in its data is one number, and a resumed run continues with the batches that it would have seen.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/batches/batch.h"
#include "data/batches/masking.h"
#include "data/batches/pairs.h"
#include "data/shards/dataset.h"

namespace dropforge::data {

/// The samples [begin, end), numbered step · batch + i before any are skipped.
struct SampleRange {
    uint64_t begin = 0, end = 0;
};

struct LoaderOptions {
    uint64_t seed = 0;
    int64_t batch = 0;            // sequences of a step over all ranks; a multiple of `ranks`
    int64_t length = 0;           // S, tokens of a sequence with [CLS] and [SEP]
    int64_t max_predictions = 0;  // M, masked slots of a sequence
    double mask_probability = 0.15;
    std::optional<double> mask_token_share = {};  // MaskingOptions
    bool dynamic = true;      // other masks at every epoch; else those of epoch 0 (of pairs: of 10 epochs in turn)
    bool whole_word = false;  // mask all pieces of a word or none
    Pairs pairs = Pairs::none;
    double short_sequences = 0.1;  // PairOptions
    int rank = 0, ranks = 1;       // this process makes sequences [rank, rank + 1) · batch / ranks of each step
    int prefetch = 4;              // batches made ahead
    std::vector<SampleRange> skipped = {};  // ascending, disjoint: never shown, later samples move up
};

/// Computes the samples of a split, each a row of a batch: a packed sequence (dataset.h), or a pair [CLS] A [SEP] B
/// [SEP] and padding, with token types, its length and its label. Not thread-safe, as it has scratch memory.
class SampleMaker {
  public:
    /// Throws Error for options out of range, a vocabulary of another size, or a dataset without a sample.
    SampleMaker(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options);

    const LoaderOptions& options() const { return options_; }
    /// Samples of an epoch.
    uint64_t samples(uint32_t epoch) const { return pairs_ ? pairs_->samples(epoch) : packed_; }
    /// The epoch of a run's sample g, and g becomes its place in that epoch.
    uint32_t epoch_of(uint64_t& g) const;
    /// Sizes the arrays for `rows` samples.
    void reserve(Batch& batch, int64_t rows) const;
    /// Writes sample number `sample` of an epoch, in the order of the data.
    void make(uint32_t epoch, uint64_t sample, Batch& batch, int64_t row);

  private:
    size_t make_pair(uint32_t epoch, uint64_t sample, Batch& batch, int64_t row);

    const Dataset& dataset_;
    SpecialIds special_;
    LoaderOptions options_;
    Masker masker_;
    std::optional<PairPlan> pairs_;
    uint64_t packed_ = 0;               // sequences of an epoch without pairs
    std::vector<uint8_t> word_starts_;  // [S]; empty without whole_word
};

/// Computes the batch of any step. Sample g = step · batch + i, after skipping, has a position in the order of an
/// epoch: without pairs g % n in epoch g / n, where n = dataset.sequences(S); with pairs each epoch has its own n. Not
/// thread-safe, as it has scratch memory.
class BatchMaker {
  public:
    /// Throws Error as SampleMaker does.
    BatchMaker(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options);

    const LoaderOptions& options() const { return maker_.options(); }
    int64_t sequences_per_rank() const { return options().batch / options().ranks; }
    /// Of the step's first sample, before any skipping.
    uint32_t epoch(uint64_t step) const;
    /// Fills this rank's part; allocates nothing if `batch` has been filled before.
    void fill(uint64_t step, Batch& batch);

  private:
    SampleMaker maker_;
};

/// Prefetches the batches of steps first_step, first_step + 1, … in a thread, into a ring of reused arrays. One thread
/// is enough: packing and masking a sequence takes a small part of a millisecond.
class Loader {
  public:
    Loader(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options, uint64_t first_step = 0);
    ~Loader();
    Loader(const Loader&) = delete;
    Loader& operator=(const Loader&) = delete;

    /// The next step's batch, valid until the next call. Rethrows an error of the thread, e.g. about a damaged shard.
    const Batch& next();
    /// The total time that next() has waited.
    double seconds_waited() const { return seconds_waited_; }

  private:
    void run();

    BatchMaker maker_;
    uint64_t first_step_;
    std::vector<Batch> ring_;  // [prefetch + 1]: the caller uses one
    std::mutex mutex_;
    std::condition_variable made_, freed_;
    uint64_t made_count_ = 0, taken_count_ = 0;
    bool stop_ = false;
    std::exception_ptr error_;
    double seconds_waited_ = 0;
    std::thread thread_;  // the last member: it uses the others
};

/// All samples of a split's first epoch in the order of the data, with the draws of one seed, so that evaluations of
/// two models, or of one at two steps, use the same batches.
class EvaluationBatches {
  public:
    /// Ignores these options: ranks, prefetch, dynamic, skipped.
    EvaluationBatches(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options);

    uint64_t sequences() const { return maker_.samples(0); }
    uint64_t batches() const;
    /// Computes batch `index` < batches(). Rows of the last batch past the split's end repeat its first row, with all
    /// weights 0.
    void fill(uint64_t index, Batch& batch);

  private:
    SampleMaker maker_;
};

}  // namespace dropforge::data
