// dataset.json: the numbers of tokens that `prepare` read, kept and dropped, and the shards with their checksums. It is
// written last, so that a folder that has one is complete.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "data/shards/shard.h"
#include "data/text/left_out.h"
#include "data/tokenizer/normalization.h"

namespace dropforge::data {

enum class Split { train, validation };
/// "train" or "validation".
const char* name_of(Split split);

struct ShardEntry {
    std::string file;  // "train-00000.shard"
    uint64_t bytes = 0, tokens = 0, documents = 0;
    uint64_t checksum = 0;  // of the header, which has the checksum of the table of checksums of the other bytes
};

/// Facts about a vocabulary that was trained on the text.
struct TrainedFacts {
    uint64_t requested = 0, characters = 0;
    double coverage = 0;  // the share of the text's characters that the vocabulary has
};

/// Sentences that begin in the shards of each split.
struct SentenceFacts {
    uint64_t train = 0, validation = 0;
};

struct Receipt {
    static constexpr const char* kFile = "dataset.json";

    // Input: bytes of the files on the disk, of their content unpacked, and of their text without markup.
    uint64_t files = 0, file_bytes = 0, bytes = 0, text_bytes = 0;
    uint64_t invalid_bytes = 0;  // not UTF-8: replaced by U+FFFD
    LeftOut left_out;            // files and lines that were not read
    // Text that was read: tokens = train + validation + drops.
    uint64_t documents = 0, words = 0, tokens = 0, unknown_tokens = 0;
    uint64_t documents_without_tokens =
        0;  // text, but only characters that BERT's tokenizer removes; not in `documents`
    Drops drops{};
    // Shards, with the number of documents that end in them.
    std::vector<ShardEntry> train, validation;
    uint64_t train_documents = 0, validation_documents = 0;
    std::optional<SentenceFacts> sentences;  // if the shards know them
    // The training tokens other than [UNK], which is never a masked label.
    double unigram_entropy = 0;  // nats: the loss of a model that knows only the frequency of each token
    std::string top_token;       // the most frequent
    double top_token_share = 0;  // the accuracy of always guessing it
    // Vocabulary.
    int32_t vocabulary_size = 0;
    uint64_t vocabulary_hash = 0;  // of vocab.txt
    Normalization normalization;
    std::optional<TrainedFacts> trained;  // of a trained vocabulary
    /// The input and the options, as text: equal ones give equal shards.
    std::map<std::string, std::string> made_from;

    const std::vector<ShardEntry>& shards(Split split) const { return split == Split::train ? train : validation; }
    uint64_t shard_tokens(Split split) const;
    uint64_t shard_bytes() const;
    uint64_t dropped_tokens() const;

    nlohmann::json json() const;
    /// The receipt for people, in several lines.
    std::string text() const;
    /// Writes folder/dataset.json. Error if the tokens do not add up.
    void save(const fs::path& folder) const;
    /// Reads folder/dataset.json. Error if the folder is incomplete, or the file is damaged or does not add up.
    static Receipt load(const fs::path& folder);
};

/// xxhash64 of a file.
uint64_t hash_file(const fs::path& path);
/// 16 hexadecimal digits, since JSON readers round large numbers.
std::string hex(uint64_t value);

}  // namespace dropforge::data
