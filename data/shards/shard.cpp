#include "data/shards/shard.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace dropforge::data {

static_assert(std::endian::native == std::endian::little, "shards are little-endian and read in place");

namespace {

uint64_t hash_of(const void* data, size_t size) { return XXH64(data, size, 0); }

uint64_t header_checksum(const ShardHeader& header) { return hash_of(&header, offsetof(ShardHeader, header_checksum)); }

constexpr uint64_t aligned(uint64_t offset) { return (offset + 7) / 8 * 8; }

}  // namespace

double unigram_entropy(std::span<const uint64_t> counts, int32_t without) {
    double total = 0, sum = 0;  // H = log N − (1/N) Σ c log c
    for (size_t id = 0; id < counts.size(); ++id) {
        if (counts[id] == 0 || static_cast<int32_t>(id) == without) continue;
        const auto count = static_cast<double>(counts[id]);
        total += count;
        sum += count * std::log(count);
    }
    return total > 0 ? std::max(0.0, std::log(total) - sum / total) : 0;
}

ShardWriter::ShardWriter(const fs::path& path, const ShardVocabulary& vocabulary, bool continues, bool sentences)
    : file_(path), vocabulary_(vocabulary), counts_(static_cast<size_t>(vocabulary.size)) {
    header_.version = sentences ? ShardHeader::kSentencesVersion : ShardHeader::kVersion;
    header_.flags = continues ? ShardHeader::kContinues : 0;
    header_.vocabulary_size = static_cast<uint64_t>(vocabulary.size);
    header_.vocabulary_hash = vocabulary.hash;
    header_.id_bytes = vocabulary.size <= int32_t{1} << 16 ? 2 : 4;
    header_.ids_offset = sizeof(ShardHeader);
    block_.reserve(ShardHeader::kBlock);
    file_.write(&header_, sizeof header_);  // its place; the counts come with close()
}

void ShardWriter::write(const void* data, size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    while (size > 0) {
        const size_t part = std::min(size, size_t{ShardHeader::kBlock} - block_.size());
        block_.insert(block_.end(), bytes, bytes + part);
        bytes += part;
        size -= part;
        if (block_.size() < ShardHeader::kBlock) break;
        checksums_.push_back(hash_of(block_.data(), block_.size()));
        file_.write(block_.data(), block_.size());
        block_.clear();
    }
}

// Returns where it begins: at the next multiple of 8.
uint64_t ShardWriter::write_section(const void* data, size_t size) {
    constexpr uint64_t kZero = 0;
    const uint64_t end = file_.size() + block_.size();
    write(&kZero, aligned(end) - end);
    write(data, size);
    return aligned(end);
}

void ShardWriter::append(const TokenRun& run) {
    const std::span<const int32_t> ids = run.ids;
    require(ids.size() == run.word_starts.size(), "ShardWriter: {} ids but {} word starts", ids.size(),
            run.word_starts.size());
    const size_t sentence_starts = header_.has_sentences() ? ids.size() : 0;
    require(run.sentence_starts.size() == sentence_starts, "ShardWriter: {} sentence starts, expected {}",
            run.sentence_starts.size(), sentence_starts);
    if (ids.empty()) return;
    for (const int32_t id : ids) {
        if (id < 0 || id >= vocabulary_.size)
            throw Error("ShardWriter: id {}, but the vocabulary has {}", id, vocabulary_.size);
        ++counts_[static_cast<size_t>(id)];
    }
    mark_starts(run);
    if (!document_open_) offsets_.push_back(header_.tokens);
    document_open_ = true;
    header_.tokens += ids.size();
    if (header_.id_bytes == 2) {
        narrow_.assign(ids.begin(), ids.end());
        write(narrow_.data(), narrow_.size() * sizeof narrow_[0]);
    } else {
        write(ids.data(), ids.size_bytes());
    }
}

// The bits of words and sentences.
void ShardWriter::mark_starts(const TokenRun& run) {
    const auto mark = [&](std::vector<uint8_t>& bits, std::span<const uint8_t> starts) {
        uint64_t marked = 0;
        bits.resize((header_.tokens + starts.size() + 7) / 8);
        for (size_t i = 0; i < starts.size(); ++i) {
            const uint64_t position = header_.tokens + i;
            const unsigned start = starts[i] != 0 ? 1 : 0;
            bits[position / 8] = static_cast<uint8_t>(bits[position / 8] | start << position % 8);
            marked += start;
        }
        return marked;
    };
    header_.words += mark(borders_, run.word_starts);
    if (header_.has_sentences()) header_.sentences += mark(sentence_borders_, run.sentence_starts);
}

void ShardWriter::end_document() {
    require(document_open_, "ShardWriter: end_document() without tokens");
    document_open_ = false;
}

ShardHeader ShardWriter::close(const Drops& drops) {
    header_.borders_offset = write_section(borders_.data(), borders_.size());
    if (header_.has_sentences()) {
        sentence_borders_.resize(aligned(sentence_borders_.size()));  // read in words of 64 bits
        header_.sentences_offset = write_section(sentence_borders_.data(), sentence_borders_.size());
    }
    header_.documents = offsets_.size();
    offsets_.push_back(header_.tokens);
    header_.documents_offset = write_section(offsets_.data(), offsets_.size() * sizeof(uint64_t));
    if (!block_.empty()) {
        checksums_.push_back(hash_of(block_.data(), block_.size()));
        file_.write(block_.data(), block_.size());
    }
    header_.checksums_offset = file_.size();
    const size_t table_bytes = checksums_.size() * sizeof(uint64_t);
    file_.write(checksums_.data(), table_bytes);
    header_.file_bytes = file_.size();
    if (document_open_) header_.flags |= ShardHeader::kOpen;
    header_.unknown_tokens = counts_[static_cast<size_t>(vocabulary_.unk)];
    header_.unigram_entropy = unigram_entropy(counts_, vocabulary_.unk);
    header_.drops = drops;
    header_.table_checksum = hash_of(checksums_.data(), table_bytes);
    header_.header_checksum = header_checksum(header_);
    file_.write_at(0, &header_, sizeof header_);
    file_.commit();
    return header_;
}

Shard::Shard(const fs::path& path) : file_(path) {
    const std::string name = path.string();
    const uint64_t size = file_.bytes().size();
    require(size >= sizeof(ShardHeader), "{}: {} bytes, but a shard has a header of {}: the file is truncated", name,
            size, sizeof(ShardHeader));
    std::memcpy(&header_, file_.bytes().data(), sizeof header_);
    require(header_.magic == ShardHeader::kMagic, "{}: offset 0: not a shard of dropforge", name);
    require(header_.version == ShardHeader::kVersion || header_.has_sentences(),
            "{}: offset 8: shard version {}, but this program reads versions {} and {}", name, header_.version,
            ShardHeader::kVersion, ShardHeader::kSentencesVersion);
    const uint64_t found = header_checksum(header_);
    require(found == header_.header_checksum,
            "{}: offset 0: header checksum: expected {:016x}, found {:016x}: the file is damaged", name,
            header_.header_checksum, found);
    require(size == header_.file_bytes, "{}: {} bytes, but the header says {}: the file is {}", name, size,
            header_.file_bytes, size < header_.file_bytes ? "truncated" : "too long");
    check_header();
    blocks_ = (header_.checksums_offset - sizeof(ShardHeader) + ShardHeader::kBlock - 1) / ShardHeader::kBlock;
    const uint64_t table_bytes = blocks_ * sizeof(uint64_t);
    require(header_.checksums_offset + table_bytes == size,
            "{}: offset {}: a checksum table of {} bytes was expected, {} follow", name, header_.checksums_offset,
            table_bytes, size - header_.checksums_offset);
    const uint64_t table = hash_of(at<std::byte>(header_.checksums_offset), table_bytes);
    require(table == header_.table_checksum,
            "{}: offset {}: checksum table: expected {:016x}, found {:016x}: the file is damaged", name,
            header_.checksums_offset, header_.table_checksum, table);
    checked_ = std::make_unique<std::atomic<bool>[]>(blocks_);
}

// The checksum shows that the header is as it was written; this shows that it was written by a program that means the
// same by it.
void Shard::check_header() const {
    const ShardHeader& h = header_;
    const std::string name = path().string();
    constexpr uint64_t kLimit = uint64_t{1} << 48;  // far above any file: sums below can't overflow
    require(h.block_bytes == ShardHeader::kBlock, "{}: header: block of {} bytes, expected {}", name, h.block_bytes,
            ShardHeader::kBlock);
    require(h.vocabulary_size >= 1 && h.vocabulary_size <= uint64_t{std::numeric_limits<int32_t>::max()},
            "{}: header: vocabulary of {} tokens", name, h.vocabulary_size);
    const uint64_t id_bytes = h.vocabulary_size <= uint64_t{1} << 16 ? 2 : 4;
    require(h.id_bytes == id_bytes, "{}: header: ids of {} bytes, but {} for a vocabulary of {}", name, h.id_bytes,
            id_bytes, h.vocabulary_size);
    require(h.tokens < kLimit && h.documents <= h.tokens, "{}: header: {} documents with {} tokens", name, h.documents,
            h.tokens);
    require((h.tokens > 0) == (h.documents > 0) && (h.documents > 0 || h.flags == 0),
            "{}: header: {} tokens, {} documents, flags {}", name, h.tokens, h.documents, h.flags);
    const uint64_t borders = aligned(sizeof(ShardHeader) + h.tokens * id_bytes);
    const uint64_t bits = aligned((h.tokens + 7) / 8), sentences = h.has_sentences() ? borders + bits : 0;
    const uint64_t documents = borders + bits + (h.has_sentences() ? bits : 0);
    const uint64_t checksums = documents + (h.documents + 1) * sizeof(uint64_t);
    require(h.ids_offset == sizeof(ShardHeader) && h.borders_offset == borders && h.documents_offset == documents &&
                h.checksums_offset == checksums && checksums <= h.file_bytes,
            "{}: header: sections at {}, {}, {}, {}; expected {}, {}, {}, {}", name, h.ids_offset, h.borders_offset,
            h.documents_offset, h.checksums_offset, sizeof(ShardHeader), borders, documents, checksums);
    require(h.sentences_offset == sentences && h.sentences <= h.tokens && (h.has_sentences() || h.sentences == 0),
            "{}: header: {} sentences of {} tokens at {}, expected at {}", name, h.sentences, h.tokens,
            h.sentences_offset, sentences);
}

void Shard::touch(uint64_t begin, uint64_t size) const {
    if (size == 0) return;
    const uint64_t last = (begin + size - 1 - sizeof(ShardHeader)) / ShardHeader::kBlock;
    for (uint64_t block = (begin - sizeof(ShardHeader)) / ShardHeader::kBlock; block <= last; ++block) {
        if (!checked_[block].load(std::memory_order_relaxed)) check_block(block);
    }
}

void Shard::check_block(uint64_t block) const {
    const uint64_t begin = sizeof(ShardHeader) + block * ShardHeader::kBlock;
    const uint64_t end = std::min(begin + ShardHeader::kBlock, header_.checksums_offset);
    const uint64_t expected = at<uint64_t>(header_.checksums_offset)[block],
                   found = hash_of(at<std::byte>(begin), end - begin);
    require(expected == found,
            "{}: block {} (offset {} to {}): checksum: expected {:016x}, found {:016x}: the file is damaged",
            path().string(), block, begin, end, expected, found);
    check_ids(begin, end);
    check_offsets(begin, end);
    checked_[block].store(true, std::memory_order_relaxed);  // a second thread may check it too: no harm
}

// Ids index the embedding table, so one outside the vocabulary must never reach a kernel, even from a foreign shard.
void Shard::check_ids(uint64_t begin, uint64_t end) const {
    end = std::min(end, header_.ids_offset + header_.tokens * header_.id_bytes);
    if (begin >= end) return;
    const uint64_t count = (end - begin) / header_.id_bytes, first = (begin - header_.ids_offset) / header_.id_bytes;
    const auto check = [&](const auto* ids) {
        const auto* largest = std::max_element(ids, ids + count);
        require(*largest < header_.vocabulary_size, "{}: token {}: id {}, but the vocabulary has {}", path().string(),
                first + static_cast<uint64_t>(largest - ids), *largest, header_.vocabulary_size);
    };
    if (header_.id_bytes == 2) {
        check(at<uint16_t>(begin));
    } else {
        check(at<uint32_t>(begin));
    }
}

// Offsets rise from 0 to the number of tokens: each entry in the block is compared with its successor, in the next
// block or not.
void Shard::check_offsets(uint64_t begin, uint64_t end) const {
    const auto* offsets = at<uint64_t>(header_.documents_offset);
    const uint64_t first =
        begin <= header_.documents_offset ? 0 : (begin - header_.documents_offset) / sizeof(uint64_t);
    if (end <= header_.documents_offset) return;
    const uint64_t past = (end - header_.documents_offset) / sizeof(uint64_t);
    const std::string name = path().string();
    if (first == 0) require(offsets[0] == 0, "{}: document 0 begins at token {}, expected 0", name, offsets[0]);
    for (uint64_t d = first; d < std::min(past, header_.documents); ++d) {
        require(offsets[d] < offsets[d + 1] && offsets[d + 1] <= header_.tokens,
                "{}: document {} has tokens {} to {} of {}", name, d, offsets[d], offsets[d + 1], header_.tokens);
    }
    if (past == header_.documents + 1) {
        require(offsets[header_.documents] == header_.tokens, "{}: the documents end at token {}, expected {}", name,
                offsets[header_.documents], header_.tokens);
    }
}

uint64_t Shard::document_start(uint64_t d) const {
    if (d > header_.documents) throw Error("{}: document {} of {}", path().string(), d, header_.documents);
    const uint64_t offset = header_.documents_offset + d * sizeof(uint64_t);
    touch(offset, sizeof(uint64_t));
    return *at<uint64_t>(offset);
}

void Shard::read(uint64_t begin, std::span<int32_t> ids, std::span<uint8_t> word_starts) const {
    if (begin > tokens() || ids.size() > tokens() - begin) {
        throw Error("{}: tokens {} to {} of {}", path().string(), begin, begin + ids.size(), tokens());
    }
    if (ids.empty()) return;
    const uint64_t offset = header_.ids_offset + begin * header_.id_bytes;
    touch(offset, ids.size() * header_.id_bytes);
    if (header_.id_bytes == 2) {
        std::copy_n(at<uint16_t>(offset), ids.size(), ids.begin());
    } else {
        std::copy_n(at<int32_t>(offset), ids.size(), ids.begin());
    }
    if (word_starts.empty()) return;
    require(word_starts.size() == ids.size(), "Shard::read: {} ids but {} word starts", ids.size(), word_starts.size());
    const uint64_t first_byte = begin / 8, bytes = (begin + ids.size() + 7) / 8 - first_byte;
    touch(header_.borders_offset + first_byte, bytes);
    const auto* bits = at<uint8_t>(header_.borders_offset);
    for (size_t i = 0; i < ids.size(); ++i) {
        const uint64_t position = begin + i;
        word_starts[i] = static_cast<uint8_t>(bits[position / 8] >> position % 8 & 1);
    }
}

// Bits of tokens [64·word, 64·word + 64).
uint64_t Shard::sentence_bits(uint64_t word) const {
    const uint64_t offset = header_.sentences_offset + word * sizeof(uint64_t);
    touch(offset, sizeof(uint64_t));
    return *at<uint64_t>(offset);
}

void Shard::verify() const {
    for (uint64_t block = 0; block < blocks_; ++block) check_block(block);
}

}  // namespace dropforge::data
