#include "data/batches/loader.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace dropforge::data {

namespace {

void check(const LoaderOptions& options) {
    require(options.batch >= 1, "batch {}: expected at least 1", options.batch);
    require(options.ranks >= 1 && options.rank >= 0 && options.rank < options.ranks, "rank {} of {}", options.rank,
            options.ranks);
    require(options.batch % options.ranks == 0, "batch {}: not a multiple of {} ranks", options.batch, options.ranks);
    require(options.prefetch >= 1, "prefetch {}: expected at least 1", options.prefetch);
    const int64_t most = options.length - (options.pairs == Pairs::none ? 2 : 3);
    require(options.max_predictions <= most, "max predictions {}: a sequence of {} holds {} tokens",
            options.max_predictions, options.length, most);
    for (size_t i = 0; i < options.skipped.size(); ++i) {
        const SampleRange& range = options.skipped[i];
        require(range.begin < range.end && (i == 0 || options.skipped[i - 1].end <= range.begin),
                "skipped samples {} to {}: ranges must be ascending and disjoint", range.begin, range.end);
    }
}

Masker masker_of(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options) {
    return {special,
            dataset.vocabulary_size(),
            {options.mask_probability, options.max_predictions, options.whole_word, options.mask_token_share}};
}

template <typename T>
std::span<T> row_of(std::vector<T>& array, int64_t columns, int64_t row) {
    return std::span(array).subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns));
}

MaskedSlots slots_of(Batch& batch, int64_t row) {
    return {row_of(batch.masked_positions, batch.masked, row), row_of(batch.masked_labels, batch.masked, row),
            row_of(batch.masked_weights, batch.masked, row)};
}

// The sample that takes place g once the skipped ones are gone.
uint64_t after_skipping(uint64_t g, const std::vector<SampleRange>& skipped) {
    for (const SampleRange& range : skipped) {
        if (g < range.begin) break;
        g += range.end - range.begin;
    }
    return g;
}

}  // namespace

SampleMaker::SampleMaker(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options)
    : dataset_(dataset), special_(special), options_(options), masker_(masker_of(dataset, special, options)) {
    check(options);
    if (options.pairs == Pairs::none) {
        packed_ = dataset.sequences(options.length);
        require(packed_ >= 1, "{}: the {} split has {} tokens, fewer than one sequence of {}",
                dataset.folder().string(), name_of(dataset.split()), dataset.tokens(), options.length);
    } else {
        pairs_.emplace(dataset, PairOptions{options.pairs, options.length, options.short_sequences, options.seed});
    }
    if (options.whole_word) word_starts_.resize(static_cast<size_t>(options.length));
}

uint32_t SampleMaker::epoch_of(uint64_t& g) const {
    const uint64_t epochs = pairs_ ? PairPlan::kWalks : 1, samples = pairs_ ? pairs_->samples_of_all_walks() : packed_;
    auto epoch = static_cast<uint32_t>(g / samples * epochs);
    for (g %= samples; g >= this->samples(epoch); ++epoch) g -= this->samples(epoch);
    return epoch;
}

void SampleMaker::reserve(Batch& batch, int64_t rows) const {
    batch.sequences = rows;
    batch.length = options_.length;
    batch.masked = options_.max_predictions;
    const auto slots = static_cast<size_t>(rows * options_.max_predictions);
    batch.input_ids.resize(static_cast<size_t>(rows * options_.length));
    batch.masked_positions.resize(slots);
    batch.masked_labels.resize(slots);
    batch.masked_weights.resize(slots);
    if (!pairs_) return;
    batch.token_type_ids.resize(batch.input_ids.size());
    batch.lengths.resize(static_cast<size_t>(rows));
    batch.next_sentence_labels.resize(static_cast<size_t>(rows));
}

void SampleMaker::make(uint32_t epoch, uint64_t sample, Batch& batch, int64_t row) {
    if (!options_.dynamic) epoch = pairs_ ? epoch % PairPlan::kWalks : 0;
    const std::span<int32_t> ids = row_of(batch.input_ids, batch.length, row);
    size_t length = ids.size();
    if (pairs_) {
        length = make_pair(epoch, sample, batch, row);
    } else {
        pack_sequence(dataset_, special_, sample, ids, word_starts_);
    }
    const std::span<const uint8_t> word_starts(word_starts_.data(), word_starts_.empty() ? 0 : length);
    masker_.apply({options_.seed, epoch, sample}, ids.first(length), word_starts, slots_of(batch, row));
}

// Returns its length.
size_t SampleMaker::make_pair(uint32_t epoch, uint64_t sample, Batch& batch, int64_t row) {
    const SentencePair pair = pairs_->pair(epoch, sample);
    const std::span<int32_t> ids = row_of(batch.input_ids, batch.length, row),
                             types = row_of(batch.token_type_ids, batch.length, row);
    std::ranges::fill(ids, special_.pad);
    std::ranges::fill(types, 0);
    std::ranges::fill(word_starts_, uint8_t{1});
    ids[0] = special_.cls;
    size_t length = 1;
    for (const Segment& segment : {pair.a, pair.b}) {
        const std::span<uint8_t> starts(word_starts_.data() + length, word_starts_.empty() ? 0 : segment.size());
        dataset_.read(segment.begin, ids.subspan(length, segment.size()), starts);
        length += segment.size();
        ids[length++] = special_.sep;
    }
    std::ranges::fill(types.first(length).last(pair.b.size() + 1), 1);
    batch.lengths[static_cast<size_t>(row)] = static_cast<int32_t>(length);
    batch.next_sentence_labels[static_cast<size_t>(row)] = pair.label;
    return length;
}

BatchMaker::BatchMaker(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options)
    : maker_(dataset, special, options) {}

uint32_t BatchMaker::epoch(uint64_t step) const {
    uint64_t first = step * static_cast<uint64_t>(options().batch);
    return maker_.epoch_of(first);
}

void BatchMaker::fill(uint64_t step, Batch& batch) {
    const int64_t rows = sequences_per_rank();
    maker_.reserve(batch, rows);
    const uint64_t first = step * static_cast<uint64_t>(options().batch) + static_cast<uint64_t>(options().rank * rows);
    for (int64_t row = 0; row < rows; ++row) {
        uint64_t g = after_skipping(first + static_cast<uint64_t>(row), options().skipped);
        const uint32_t epoch = maker_.epoch_of(g);
        maker_.make(epoch, SampleOrder(maker_.samples(epoch), options().seed, epoch)(g), batch, row);
    }
}

Loader::Loader(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options, uint64_t first_step)
    : maker_(dataset, special, options),
      first_step_(first_step),
      ring_(static_cast<size_t>(options.prefetch) + 1),
      thread_([this] { run(); }) {}

Loader::~Loader() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    freed_.notify_one();
    thread_.join();
}

void Loader::run() {
    for (uint64_t i = 0;; ++i) {
        {
            std::unique_lock lock(mutex_);
            // The batch handed out last is still being read: it is freed when the next one is taken.
            freed_.wait(lock, [&] { return stop_ || i < taken_count_ + ring_.size() - (taken_count_ > 0 ? 1 : 0); });
            if (stop_) return;
        }
        std::exception_ptr error;
        try {
            maker_.fill(first_step_ + i, ring_[i % ring_.size()]);
        } catch (...) {
            error = std::current_exception();
        }
        {
            const std::lock_guard lock(mutex_);
            error_ = error;
            if (!error) ++made_count_;
        }
        made_.notify_one();
        if (error) return;
    }
}

const Batch& Loader::next() {
    const auto begin = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    made_.wait(lock, [&] { return made_count_ > taken_count_ || error_; });
    if (made_count_ == taken_count_) std::rethrow_exception(error_);  // after the complete batches before it
    const Batch& batch = ring_[taken_count_ % ring_.size()];
    ++taken_count_;
    lock.unlock();
    freed_.notify_one();
    seconds_waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return batch;
}

EvaluationBatches::EvaluationBatches(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options)
    : maker_(dataset, special, options) {}

uint64_t EvaluationBatches::batches() const {
    const auto batch = static_cast<uint64_t>(maker_.options().batch);
    return (sequences() + batch - 1) / batch;
}

void EvaluationBatches::fill(uint64_t index, Batch& batch) {
    require(index < batches(), "evaluation batch {} of {}", index, batches());
    const int64_t rows = maker_.options().batch;
    maker_.reserve(batch, rows);
    const uint64_t first = index * static_cast<uint64_t>(rows);
    for (int64_t row = 0; row < rows; ++row) {
        const uint64_t sample = first + static_cast<uint64_t>(row);
        const bool past_end = sample >= sequences();
        maker_.make(0, past_end ? first : sample, batch, row);
        if (past_end) std::ranges::fill(slots_of(batch, row).weights, 0.0f);
    }
}

}  // namespace dropforge::data
