// A data folder as one stream of tokens, and the sequences packed from it.
//
// The stream of a split is its documents in order, each followed by one separator; a position in it is found by binary
// search. Sequence i of length S is [CLS], the stream positions [i·(S−2), (i+1)·(S−2)) with separators as [SEP], and
// [SEP]: full sequences across documents (RoBERTa's FULL-SENTENCES), without padding, a pure function of (folder, S, i)
// that does not depend on the shards' sizes.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/shards/receipt.h"
#include "data/shards/shard.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

class Dataset {
  public:
    /// The separator after each document in the stream.
    static constexpr int32_t kSeparator = -1;

    /// Opens all shards of a split, which may have no document. Error if the folder is incomplete (no dataset.json), or
    /// if a shard or vocab.txt is not the one that dataset.json lists.
    Dataset(const fs::path& folder, Split split);

    const fs::path& folder() const { return folder_; }
    Split split() const { return split_; }
    fs::path vocabulary_path() const { return folder_ / "vocab.txt"; }
    int32_t vocabulary_size() const { return vocabulary_size_; }
    const Normalization& normalization() const { return normalization_; }
    uint64_t tokens() const { return tokens_; }
    uint64_t documents() const { return documents_; }
    /// A fingerprint of the shards' content, from the checksums in their headers. Shards of other sizes have another
    /// one.
    uint64_t fingerprint() const;
    /// The loss, in nats, of a model that knows only the frequency of each token, and the accuracy of always guessing
    /// the most frequent one.
    double unigram_entropy() const { return unigram_entropy_; }
    double top_token_share() const { return top_token_share_; }

    /// The number of tokens and separators.
    uint64_t stream_length() const { return starts_.back(); }
    /// Copies stream positions [begin, begin + ids.size()). word_starts is empty, or has the same size and gets 1 where
    /// a word begins and at separators.
    void read(uint64_t begin, std::span<int32_t> ids, std::span<uint8_t> word_starts) const;

    /// Whether the shards say where sentences begin (`prepare --sentences`).
    bool has_sentences() const;
    /// Stream position of the separator after document d < documents().
    uint64_t document_end(uint64_t d) const;
    /// Stream position of the first token of document d.
    uint64_t document_begin(uint64_t d) const { return d == 0 ? 0 : document_end(d - 1) + 1; }
    /// Sets `starts` to the stream positions where the sentences of document d begin, and that of its end. Needs
    /// has_sentences().
    void sentences(uint64_t d, std::vector<uint64_t>& starts) const;

    /// Whole sequences of `length` ≥ 3 tokens in an epoch.
    uint64_t sequences(int64_t length) const;
    /// The number of tokens at the stream's end that do not fill a sequence, which an epoch drops.
    uint64_t dropped_tail_tokens(int64_t length) const;

    /// Checks every block of every shard.
    void verify() const;

  private:
    fs::path folder_;
    Split split_;
    int32_t vocabulary_size_ = 0;
    Normalization normalization_;
    uint64_t tokens_ = 0, documents_ = 0;
    double unigram_entropy_ = 0, top_token_share_ = 0;
    std::deque<Shard> shards_;
    std::vector<uint64_t> starts_{0};  // [shards + 1] stream position of each shard's first token
    std::vector<uint64_t> ends_{0};    // [shards + 1] documents that end before each shard
};

/// The number of occurrences of each token id in the split [vocabulary size]; reads all of it.
std::vector<int64_t> token_counts(const Dataset& dataset);

/// Writes sequence `index` (< dataset.sequences(S)) to ids [S]; word_starts [S] or empty, 1 at every special token.
void pack_sequence(const Dataset& dataset, const SpecialIds& special, uint64_t index, std::span<int32_t> ids,
                   std::span<uint8_t> word_starts);

}  // namespace dropforge::data
