// The writer of the shards of one split.
#pragma once

#include <memory>
#include <vector>

#include "data/shards/receipt.h"
#include "data/shards/shard.h"

namespace dropforge::data {

/// Writes documents to shards of shard_tokens tokens each, which may end inside a document, so that neither a shard nor
/// the writer's memory grows with the input.
class SplitWriter {
  public:
    SplitWriter(const fs::path& folder, Split split, const ShardVocabulary& vocabulary, uint64_t shard_tokens,
                bool sentences);

    /// More tokens of the current document; the first ones begin it.
    void append(TokenRun run);
    /// The current document, which has tokens, is complete.
    void end_document();
    /// Counts a document that is left out of this split, in the header of the current shard.
    void count_drop(DropReason reason, uint64_t tokens);
    /// Closes the last shard. No shard is written for a split without a token.
    void finish();

    uint64_t documents() const { return documents_; }
    /// The number of sentences that begin in closed shards.
    uint64_t sentences() const { return sentences_; }
    /// The entries of closed shards.
    const std::vector<ShardEntry>& shards() const { return shards_; }
    /// The number of occurrences of each token id in closed shards [vocabulary size].
    std::span<const uint64_t> counts() const { return counts_; }

  private:
    void close_shard();

    fs::path folder_;
    Split split_;
    ShardVocabulary vocabulary_;
    uint64_t shard_tokens_, documents_ = 0, sentences_ = 0;
    bool with_sentences_;
    std::unique_ptr<ShardWriter> writer_;
    std::vector<ShardEntry> shards_;
    std::vector<uint64_t> counts_;
    Drops drops_{};
};

/// The file name of a shard: "train-00000.shard".
std::string shard_name(Split split, size_t number);

}  // namespace dropforge::data
