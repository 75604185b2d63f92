// A shard: a memory-mapped file of token ids, word borders and document offsets, and where they were asked for sentence
// borders, guarded by a checksum a block.
// docs/file-formats.md has the layout byte by byte.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/file.h"

namespace dropforge::data {

/// The reasons for which documents are left out of the shards. The order is part of the format.
enum class DropReason : uint8_t { short_document };
inline constexpr size_t kDropReasons = 8;  // places in the header; unused ones are 0

struct Drop {
    uint64_t documents = 0, tokens = 0;
    friend bool operator==(const Drop&, const Drop&) = default;
};
using Drops = std::array<Drop, kDropReasons>;

/// The first 512 bytes of the file, little-endian.
struct ShardHeader {
    static constexpr std::array<char, 8> kMagic = {'D', 'F', 'S', 'H', 'A', 'R', 'D', '\n'};
    static constexpr uint32_t kVersion = 1, kSentencesVersion = 2;  // without and with sentence borders
    static constexpr uint32_t kContinues = 1;                       // the first document began in the shard before
    static constexpr uint32_t kOpen = 2;                            // the last document goes on in the next shard
    static constexpr uint64_t kBlock = uint64_t{1} << 20;

    std::array<char, 8> magic = kMagic;
    uint32_t version = kVersion, flags = 0;
    uint64_t vocabulary_size = 0, vocabulary_hash = 0;  // hash: xxhash64 of vocab.txt
    uint64_t id_bytes = 2, block_bytes = kBlock;
    uint64_t tokens = 0, documents = 0, words = 0, unknown_tokens = 0;
    double unigram_entropy = 0;  // nats, of this shard's tokens other than [UNK]
    uint64_t ids_offset = 0, borders_offset = 0, documents_offset = 0, checksums_offset = 0, file_bytes = 0;
    Drops drops{};                                 // what was left out since the shard before
    uint64_t sentences_offset = 0, sentences = 0;  // version 2; sentences: those that begin here
    std::array<uint64_t, 28> reserved{};
    uint64_t table_checksum = 0;   // xxhash64 of the checksum table
    uint64_t header_checksum = 0;  // xxhash64 of all bytes before it

    bool has_sentences() const { return version == kSentencesVersion; }
    bool continues() const { return (flags & kContinues) != 0; }
    bool open() const { return (flags & kOpen) != 0; }
};
static_assert(sizeof(ShardHeader) == 512);

/// The facts that all shards of a data folder share.
struct ShardVocabulary {
    int32_t size = 0, unk = 0;
    uint64_t hash = 0;
};

/// Consecutive tokens of one document, with a flag for each: 1 where a word begins, and where a sentence begins (empty:
/// sentences are not known).
struct TokenRun {
    std::span<const int32_t> ids;
    std::span<const uint8_t> word_starts, sentence_starts = {};

    TokenRun part(size_t begin, size_t count) const {
        return {ids.subspan(begin, count), word_starts.subspan(begin, count),
                sentence_starts.empty() ? sentence_starts : sentence_starts.subspan(begin, count)};
    }
};

/// Entropy in nats of the distribution that `counts` describes, without the entry `without`; 0 if nothing is left.
double unigram_entropy(std::span<const uint64_t> counts, int32_t without);

/// Writes one shard; it exists once close() has returned. Memory: 1 bit a token (2 with sentences) and 8 bytes a
/// document.
class ShardWriter {
  public:
    /// `continues`: the first document is the rest of the one that the shard before left open.
    ShardWriter(const fs::path& path, const ShardVocabulary& vocabulary, bool continues, bool sentences = false);

    /// More tokens of the current document, whose first one begins a sentence. Throws Error for an id outside the
    /// vocabulary, or sentence starts that are missing or not expected.
    void append(const TokenRun& run);
    /// The current document, which has at least one token in this shard, is complete.
    void end_document();
    uint64_t tokens() const { return header_.tokens; }
    uint64_t documents() const { return offsets_.size(); }
    bool document_open() const { return document_open_; }
    /// The number of occurrences of each token id so far [vocabulary size].
    std::span<const uint64_t> counts() const { return counts_; }
    /// Completes, syncs and renames the file, and returns its header. An open document continues in the next shard.
    ShardHeader close(const Drops& drops);

  private:
    void write(const void* data, size_t size);
    uint64_t write_section(const void* data, size_t size);
    void mark_starts(const TokenRun& run);

    AtomicFile file_;
    ShardVocabulary vocabulary_;
    ShardHeader header_;
    bool document_open_ = false;
    std::vector<uint64_t> offsets_, counts_, checksums_;
    std::vector<uint8_t> borders_, sentence_borders_;
    std::vector<uint16_t> narrow_;  // ids on their way to the file
    std::vector<std::byte> block_;  // bytes of the block that is not yet full
};

/// A shard opened for reading. The constructor checks the header, the sections' offsets and the checksum table; a block
/// is checked at its first use, or all by verify(). Errors name the file, the place, what was expected and what was
/// found. Thread-safe.
class Shard {
  public:
    explicit Shard(const fs::path& path);

    const fs::path& path() const { return file_.path(); }
    const ShardHeader& header() const { return header_; }
    uint64_t tokens() const { return header_.tokens; }
    /// The number of documents with tokens in this shard, a continued and an open one included.
    uint64_t documents() const { return header_.documents; }
    /// The number of documents that end in this shard.
    uint64_t ends() const { return header_.documents - (header_.open() ? 1 : 0); }
    /// Position of the first token of document d; d = documents() gives tokens().
    uint64_t document_start(uint64_t d) const;
    /// Copies tokens [begin, begin + ids.size()); word_starts has the same size or is empty.
    void read(uint64_t begin, std::span<int32_t> ids, std::span<uint8_t> word_starts) const;
    /// Calls sink(position) for each token of [begin, end) that begins a sentence, in order. Needs has_sentences().
    template <typename Sink>
    void each_sentence(uint64_t begin, uint64_t end, Sink&& sink) const {
        for (uint64_t word = begin / 64; word * 64 < end; ++word) {
            for (uint64_t bits = sentence_bits(word); bits != 0; bits &= bits - 1) {
                const uint64_t position = word * 64 + static_cast<uint64_t>(std::countr_zero(bits));
                if (position >= begin && position < end) sink(position);
            }
        }
    }
    /// Checks every block.
    void verify() const;

  private:
    void check_header() const;
    uint64_t sentence_bits(uint64_t word) const;
    void touch(uint64_t begin, uint64_t size) const;
    void check_block(uint64_t block) const;
    void check_ids(uint64_t begin, uint64_t end) const;
    void check_offsets(uint64_t begin, uint64_t end) const;
    template <typename T>
    const T* at(uint64_t offset) const {
        return reinterpret_cast<const T*>(file_.bytes().data() + offset);
    }

    MappedFile file_;
    ShardHeader header_;
    uint64_t blocks_ = 0;
    std::unique_ptr<std::atomic<bool>[]> checked_;  // [blocks]
};

}  // namespace dropforge::data
