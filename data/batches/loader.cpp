#include "data/batches/loader.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace dropforge::data {

namespace {

void check(const Dataset& dataset, const LoaderOptions& options) {
    require(options.batch >= 1, "batch {}: expected at least 1", options.batch);
    require(options.ranks >= 1 && options.rank >= 0 && options.rank < options.ranks, "rank {} of {}", options.rank,
            options.ranks);
    require(options.batch % options.ranks == 0, "batch {}: not a multiple of {} ranks", options.batch, options.ranks);
    require(options.prefetch >= 1, "prefetch {}: expected at least 1", options.prefetch);
    require(options.max_predictions <= options.length - 2, "max predictions {}: a sequence of {} holds {} tokens",
            options.max_predictions, options.length, options.length - 2);
    for (size_t i = 0; i < options.skipped.size(); ++i) {
        const SampleRange& range = options.skipped[i];
        require(range.begin < range.end && (i == 0 || options.skipped[i - 1].end <= range.begin),
                "skipped samples {} to {}: ranges must be ascending and disjoint", range.begin, range.end);
    }
    require(dataset.sequences(options.length) >= 1, "{}: the {} split has {} tokens, fewer than one sequence of {}",
            dataset.folder().string(), name_of(dataset.split()), dataset.tokens(), options.length);
}

Masker masker_of(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options) {
    return {special,
            dataset.vocabulary_size(),
            {options.mask_probability, options.max_predictions, options.whole_word, options.mask_token_share}};
}

void reserve(Batch& batch, int64_t sequences, const LoaderOptions& options) {
    batch.sequences = sequences;
    batch.length = options.length;
    batch.masked = options.max_predictions;
    const auto slots = static_cast<size_t>(sequences * options.max_predictions);
    batch.input_ids.resize(static_cast<size_t>(sequences * options.length));
    batch.masked_positions.resize(slots);
    batch.masked_labels.resize(slots);
    batch.masked_weights.resize(slots);
}

std::span<int32_t> ids_of(Batch& batch, int64_t row) {
    const auto length = static_cast<size_t>(batch.length);
    return std::span(batch.input_ids).subspan(static_cast<size_t>(row) * length, length);
}

MaskedSlots slots_of(Batch& batch, int64_t row) {
    const auto slots = static_cast<size_t>(batch.masked), first = static_cast<size_t>(row) * slots;
    return {std::span(batch.masked_positions).subspan(first, slots),
            std::span(batch.masked_labels).subspan(first, slots),
            std::span(batch.masked_weights).subspan(first, slots)};
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

BatchMaker::BatchMaker(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options)
    : dataset_(dataset), special_(special), options_(options), masker_(masker_of(dataset, special, options)) {
    check(dataset, options);
    samples_ = dataset.sequences(options.length);
    if (options.whole_word) word_starts_.resize(static_cast<size_t>(options.length));
}

void BatchMaker::fill(uint64_t step, Batch& batch) {
    const int64_t rows = sequences_per_rank();
    reserve(batch, rows, options_);
    const uint64_t first = step * static_cast<uint64_t>(options_.batch) + static_cast<uint64_t>(options_.rank * rows);
    for (int64_t row = 0; row < rows; ++row) {
        const uint64_t g = after_skipping(first + static_cast<uint64_t>(row), options_.skipped);
        const auto epoch = static_cast<uint32_t>(g / samples_);
        const uint64_t sample = SampleOrder(samples_, options_.seed, epoch)(g % samples_);
        const std::span<int32_t> ids = ids_of(batch, row);
        pack_sequence(dataset_, special_, sample, ids, word_starts_);
        masker_.apply({options_.seed, options_.dynamic ? epoch : 0, sample}, ids, word_starts_, slots_of(batch, row));
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
    if (made_count_ == taken_count_) std::rethrow_exception(error_);  // after the whole batches before it
    const Batch& batch = ring_[taken_count_ % ring_.size()];
    ++taken_count_;
    lock.unlock();
    freed_.notify_one();
    seconds_waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return batch;
}

EvaluationBatches::EvaluationBatches(const Dataset& dataset, const SpecialIds& special, const LoaderOptions& options)
    : dataset_(dataset), special_(special), options_(options), masker_(masker_of(dataset, special, options)) {
    check(dataset, options);
    sequences_ = dataset.sequences(options.length);
    if (options.whole_word) word_starts_.resize(static_cast<size_t>(options.length));
}

uint64_t EvaluationBatches::batches() const {
    const auto batch = static_cast<uint64_t>(options_.batch);
    return (sequences_ + batch - 1) / batch;
}

void EvaluationBatches::fill(uint64_t index, Batch& batch) {
    require(index < batches(), "evaluation batch {} of {}", index, batches());
    reserve(batch, options_.batch, options_);
    const uint64_t first = index * static_cast<uint64_t>(options_.batch);
    for (int64_t row = 0; row < options_.batch; ++row) {
        const uint64_t sample = first + static_cast<uint64_t>(row);
        const bool past_end = sample >= sequences_;
        const std::span<int32_t> ids = ids_of(batch, row);
        const MaskedSlots slots = slots_of(batch, row);
        const uint64_t shown = past_end ? first : sample;
        pack_sequence(dataset_, special_, shown, ids, word_starts_);
        masker_.apply({options_.seed, 0, shown}, ids, word_starts_, slots);
        if (past_end) std::ranges::fill(slots.weights, 0.0f);
    }
}

}  // namespace dropforge::data
