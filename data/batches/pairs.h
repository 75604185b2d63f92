// Sentence pairs for next sentence prediction (BERT) and sentence order (ALBERT): which two segments a sample shows.
//
// A walk goes through each document as BERT's create_pretraining_data.py does. It takes sentences until a target length
// is reached (that of a full sequence, or for some of the documents a random shorter one), cuts them after a random one
// into A and B, and goes on behind them. For half of the pairs of next sentence prediction, and where there is one
// sentence only, B is a random place of another document instead; the walk then goes on behind A, so that no sentence
// is lost. For half of the pairs of sentence order A and B are swapped.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/philox.h"
#include "data/shards/dataset.h"

namespace dropforge::data {

enum class Pairs : uint8_t { none, next_sentence, sentence_order };
inline constexpr std::array kPairsNames{"none", "next_sentence", "sentence_order"};

/// Throws Error unless pairs can be made of the data: sentence borders, 2 documents or more.
void require_pairs(const Dataset& dataset);

struct PairOptions {
    Pairs pairs = Pairs::next_sentence;
    int64_t length = 0;            // S, with [CLS] and both [SEP]
    double short_sequences = 0.1;  // share of the documents with a shorter target length
    uint64_t seed = 0;
};

/// Stream positions [begin, end) inside of one document.
struct Segment {
    uint64_t begin = 0, end = 0;

    uint64_t size() const { return end - begin; }
};

/// Together at most S − 3 tokens, each at least one.
struct SentencePair {
    Segment a, b;
    int32_t label = 0;  // 0: B follows A; 1: B is from elsewhere, or A follows B
};

/// The pairs of a split, each computed alone: a sample is a pure function of (options, epoch, number). Not thread-safe
/// (scratch memory).
///
/// How many pairs a walk has depends on its draws, so each of kWalks walks is counted when the plan is made; epoch e
/// takes walk e mod kWalks, while random places and cuts are drawn anew in every epoch. The plan keeps a count of each
/// walk for every kBlockTokens tokens or one document, whichever is more, and goes through these again for a sample.
class PairPlan {
  public:
    static constexpr uint32_t kWalks = 10;  // BERT's dupe_factor
    static constexpr uint64_t kBlockTokens = 16384;

    /// Throws Error for options out of range, and as require_pairs() does.
    PairPlan(const Dataset& dataset, const PairOptions& options);

    /// Pairs of an epoch.
    uint64_t samples(uint32_t epoch) const { return counts_[epoch % kWalks]; }
    /// Pairs of kWalks epochs, which is after how many the counts repeat.
    uint64_t samples_of_all_walks() const;
    /// Pair number `sample` < samples(epoch), in the order of the documents.
    SentencePair pair(uint32_t epoch, uint64_t sample);

  private:
    using Counts = std::array<uint64_t, kWalks>;
    struct Block {
        uint64_t document;  // the first
        Counts before;      // pairs of the documents before it
    };
    struct Chunk;

    template <typename Sink>
    void walk(uint64_t document, uint32_t number, Sink&& sink) const;
    Chunk chunk_of(uint32_t number, uint64_t sample, uint64_t& document);
    Segment random_place(uint64_t document, uint64_t target, PhiloxStream& random);
    void truncate(SentencePair& pair, PhiloxStream& random) const;

    const Dataset& dataset_;
    PairOptions options_;
    uint64_t most_tokens_;  // S − 3
    Counts counts_{};
    std::vector<Block> blocks_;
    std::vector<uint64_t> starts_;  // sentences of the document at hand, and its end
};

}  // namespace dropforge::data
