#include "data/batches/pairs.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace dropforge::data {

namespace {

constexpr uint64_t kWalkKey = 0x57414c4b50414952;   // "WALKPAIR"
constexpr uint64_t kPlaceKey = 0x504c414345504149;  // "PLACEPAI"

void check(const PairOptions& options) {
    require(options.length >= 5, "sequence length {}: a pair with [CLS] and two [SEP] needs 5", options.length);
    require(options.short_sequences >= 0 && options.short_sequences <= 1, "short sequences {}: expected 0 to 1",
            options.short_sequences);
}

}  // namespace

void require_pairs(const Dataset& dataset) {
    const std::string data = fmt::format("{}: the {} split", dataset.folder().string(), name_of(dataset.split()));
    require(dataset.documents() >= 2, "{} has {} documents, but sentence pairs need 2 or more", data,
            dataset.documents());
    require(dataset.documents() <= std::numeric_limits<uint32_t>::max(), "{} has {} documents, more than {}", data,
            dataset.documents(), std::numeric_limits<uint32_t>::max());
    require(dataset.has_sentences(),
            "{} does not say where sentences begin, as sentence pairs ask for: make the data with dropforge prepare "
            "--sentences line (or punctuation)",
            data);
}

/// What a walk makes one pair of: sentences [first, end) of a document.
struct PairPlan::Chunk {
    size_t first, middle, end;  // A is [first, middle)
    bool random;                // B is from another document
    uint64_t target;            // tokens that A and B should have together
};

/// Calls sink(chunk) for each pair of the document whose sentences are starts_, until it returns false.
template <typename Sink>
void PairPlan::walk(uint64_t document, uint32_t number, Sink&& sink) const {
    PhiloxStream random(options_.seed ^ kWalkKey, document, number);
    Chunk chunk{.first = 0, .middle = 0, .end = 0, .random = false, .target = most_tokens_};
    if (random.uniform() < options_.short_sequences)
        chunk.target = 2 + random.below(static_cast<uint32_t>(most_tokens_ - 1));
    const size_t sentences = starts_.size() - 1;
    while (chunk.first < sentences) {
        const auto next = starts_.begin() + static_cast<std::ptrdiff_t>(chunk.first) + 1;
        const auto reached = std::lower_bound(next, starts_.end() - 1, starts_[chunk.first] + chunk.target);
        chunk.end = static_cast<size_t>(reached - starts_.begin());
        const auto count = static_cast<uint32_t>(chunk.end - chunk.first);
        chunk.middle = chunk.first + 1 + (count >= 2 ? random.below(count - 1) : 0);
        chunk.random = count == 1 || (options_.pairs == Pairs::next_sentence && random.below(2) == 1);
        if (!sink(std::as_const(chunk))) return;
        chunk.first = chunk.random ? chunk.middle : chunk.end;
    }
}

PairPlan::PairPlan(const Dataset& dataset, const PairOptions& options)
    : dataset_(dataset), options_(options), most_tokens_(static_cast<uint64_t>(options.length) - 3) {
    check(options);
    require_pairs(dataset);
    uint64_t block_begin = 0;
    for (uint64_t document = 0; document < dataset.documents(); ++document) {
        dataset.sentences(document, starts_);
        if (blocks_.empty() || starts_.front() - block_begin >= kBlockTokens) {
            blocks_.push_back({document, counts_});
            block_begin = starts_.front();
        }
        for (uint32_t number = 0; number < kWalks; ++number) {
            walk(document, number, [&](const Chunk&) {
                ++counts_[number];
                return true;
            });
        }
    }
}

uint64_t PairPlan::samples_of_all_walks() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

/// Leaves the sentences of the chunk's document in starts_.
PairPlan::Chunk PairPlan::chunk_of(uint32_t number, uint64_t sample, uint64_t& document) {
    const auto past = std::ranges::upper_bound(blocks_, sample, {}, [&](const Block& b) { return b.before[number]; });
    const Block& block = *(past - 1);
    uint64_t left = sample - block.before[number];
    Chunk found{};
    for (document = block.document;; ++document) {
        dataset_.sentences(document, starts_);
        bool is_found = false;
        walk(document, number, [&](const Chunk& chunk) {
            found = chunk;
            is_found = left == 0;
            left -= is_found ? 0 : 1;
            return !is_found;
        });
        if (is_found) return found;
    }
}

/// Sentences from a random one of another document on, with `target` tokens or more where the document has them.
Segment PairPlan::random_place(uint64_t document, uint64_t target, PhiloxStream& random) {
    uint64_t other = random.below(static_cast<uint32_t>(dataset_.documents() - 1));
    other += other >= document ? 1 : 0;
    dataset_.sentences(other, starts_);
    const uint32_t first = random.below(static_cast<uint32_t>(starts_.size() - 1));
    const uint64_t begin = starts_[first];
    const auto next = starts_.begin() + first + 1;
    return {begin, *std::lower_bound(next, starts_.end() - 1, begin + target)};
}

/// Takes tokens from the longer segment, from its front or its end, until both fit.
void PairPlan::truncate(SentencePair& pair, PhiloxStream& random) const {
    while (pair.a.size() + pair.b.size() > most_tokens_) {
        Segment& longer = pair.a.size() > pair.b.size() ? pair.a : pair.b;
        const bool front = random.below(2) == 0;
        longer.begin += front ? 1 : 0;
        longer.end -= front ? 0 : 1;
    }
}

SentencePair PairPlan::pair(uint32_t epoch, uint64_t sample) {
    require(sample < samples(epoch), "sentence pair {} of {}", sample, samples(epoch));
    uint64_t document = 0;
    const Chunk chunk = chunk_of(epoch % kWalks, sample, document);
    PhiloxStream random(options_.seed ^ kPlaceKey, sample, epoch);
    SentencePair pair{.a = {starts_[chunk.first], starts_[chunk.middle]},
                      .b = {starts_[chunk.middle], starts_[chunk.end]}};
    if (chunk.random) {
        const uint64_t target = chunk.target > pair.a.size() ? chunk.target - pair.a.size() : 0;
        pair.b = random_place(document, target, random);
        pair.label = 1;
    } else if (options_.pairs == Pairs::sentence_order && random.below(2) == 1) {
        std::swap(pair.a, pair.b);
        pair.label = 1;
    }
    truncate(pair, random);
    return pair;
}

}  // namespace dropforge::data
