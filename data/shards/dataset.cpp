#include "data/shards/dataset.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dropforge::data {

Dataset::Dataset(const fs::path& folder, Split split) : folder_(folder), split_(split) {
    const Receipt receipt = Receipt::load(folder);
    vocabulary_size_ = receipt.vocabulary_size;
    normalization_ = receipt.normalization;
    unigram_entropy_ = receipt.unigram_entropy;
    top_token_share_ = receipt.top_token_share;
    const uint64_t vocabulary_hash = hash_file(vocabulary_path());
    require(vocabulary_hash == receipt.vocabulary_hash,
            "{}: checksum {:016x}, but dataset.json lists {:016x}: not the vocabulary of this data",
            vocabulary_path().string(), vocabulary_hash, receipt.vocabulary_hash);
    const auto require_size = [&](const fs::path& path, uint64_t size) {  // ids index the model's tables
        require(std::cmp_equal(size, vocabulary_size_), "{}: a vocabulary of {} tokens, but dataset.json says {}",
                path.string(), size, vocabulary_size_);
    };
    require_size(vocabulary_path(), static_cast<uint64_t>(Vocabulary::load(vocabulary_path()).size()));
    for (const ShardEntry& entry : receipt.shards(split)) {
        const Shard& shard = shards_.emplace_back(folder / entry.file);
        const ShardHeader& header = shard.header();
        require(header.header_checksum == entry.checksum,
                "{}: header checksum {:016x}, but dataset.json lists {:016x}: not the shard of this data",
                shard.path().string(), header.header_checksum, entry.checksum);
        require(header.vocabulary_hash == vocabulary_hash,
                "{}: made with another vocabulary ({:016x}; vocab.txt is {:016x})", shard.path().string(),
                header.vocabulary_hash, vocabulary_hash);
        require_size(shard.path(), header.vocabulary_size);
        const bool open = shards_.size() > 1 && shards_[shards_.size() - 2].header().open();
        require(header.has_sentences() == shards_.front().header().has_sentences(),
                "{}: one of this shard and {} has sentence borders, the other not", shard.path().string(),
                shards_.front().path().string());
        require(header.continues() == open, "{}: does not continue the shard before it in dataset.json",
                shard.path().string());
        tokens_ += shard.tokens();
        documents_ += shard.ends();
        ends_.push_back(documents_);
        starts_.push_back(starts_.back() + shard.tokens() + shard.ends());
    }
    require(shards_.empty() || !shards_.back().header().open(),
            "{}: its last document goes on in a shard that dataset.json does not list",
            shards_.empty() ? "" : shards_.back().path().string());
}

namespace {

/// Copies part of one shard's stream, where document d begins at position document_start(d) + d: d separators stand
/// before it.
void read_shard(const Shard& shard, uint64_t begin, std::span<int32_t> ids, std::span<uint8_t> word_starts) {
    uint64_t document = 0;
    for (uint64_t past = shard.documents(); past - document > 1;) {
        const uint64_t middle = document + (past - document) / 2;
        (shard.document_start(middle) + middle <= begin ? document : past) = middle;
    }
    for (size_t done = 0; done < ids.size(); ++document) {
        const uint64_t position = begin + done - document;  // in tokens
        const uint64_t left = shard.document_start(document + 1) - position;
        const size_t count = std::min<uint64_t>(left, ids.size() - done);
        shard.read(position, ids.subspan(done, count),
                   word_starts.empty() ? word_starts : word_starts.subspan(done, count));
        done += count;
        if (done == ids.size()) break;
        ids[done] = Dataset::kSeparator;
        if (!word_starts.empty()) word_starts[done] = 1;
        ++done;
    }
}

}  // namespace

void Dataset::read(uint64_t begin, std::span<int32_t> ids, std::span<uint8_t> word_starts) const {
    if (begin > stream_length() || ids.size() > stream_length() - begin) {
        throw Error("{}: {} stream positions {} to {} of {}", folder_.string(), name_of(split_), begin,
                    begin + ids.size(), stream_length());
    }
    require(word_starts.empty() || word_starts.size() == ids.size(), "Dataset::read: {} ids but {} word starts",
            ids.size(), word_starts.size());
    auto shard = static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin()) - 1;
    for (size_t done = 0; done < ids.size(); ++shard) {
        const uint64_t from = begin + done;
        const size_t count = std::min<uint64_t>(starts_[shard + 1] - from, ids.size() - done);
        if (count == 0) continue;  // an empty shard
        read_shard(shards_[shard], from - starts_[shard], ids.subspan(done, count),
                   word_starts.empty() ? word_starts : word_starts.subspan(done, count));
        done += count;
    }
}

bool Dataset::has_sentences() const { return !shards_.empty() && shards_.front().header().has_sentences(); }

uint64_t Dataset::document_end(uint64_t d) const {
    require(d < documents_, "{}: {} document {} of {}", folder_.string(), name_of(split_), d, documents_);
    const auto shard = static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), d) - ends_.begin()) - 1;
    const uint64_t in_shard = d - ends_[shard];
    return starts_[shard] + shards_[shard].document_start(in_shard + 1) + in_shard;
}

void Dataset::sentences(uint64_t d, std::vector<uint64_t>& starts) const {
    starts.clear();
    const uint64_t begin = document_begin(d), end = document_end(d);
    for (size_t s = static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin()) - 1;
         s < shards_.size() && starts_[s] < end; ++s) {
        // In a shard, as many separators stand before the document's tokens as documents have ended there before.
        const uint64_t separators = d - std::min(d, ends_[s]), first = starts_[s] + separators;
        shards_[s].each_sentence(std::max(begin, first) - first, std::min(end - first, shards_[s].tokens()),
                                 [&](uint64_t position) { starts.push_back(first + position); });
    }
    require(!starts.empty() && starts.front() == begin, "{}: {} document {} does not begin with a sentence",
            folder_.string(), name_of(split_), d);
    starts.push_back(end);
}

uint64_t Dataset::sequences(int64_t length) const {
    require(length >= 3, "sequence length {}: [CLS], a token and [SEP] need 3", length);
    return stream_length() / static_cast<uint64_t>(length - 2);
}

uint64_t Dataset::dropped_tail_tokens(int64_t length) const {
    const uint64_t begin = sequences(length) * static_cast<uint64_t>(length - 2);
    std::vector<int32_t> tail(stream_length() - begin);
    read(begin, tail, {});
    return static_cast<uint64_t>(std::ranges::count_if(tail, [](int32_t id) { return id != kSeparator; }));
}

uint64_t Dataset::fingerprint() const {
    std::vector<uint64_t> checksums;
    for (const Shard& shard : shards_) checksums.push_back(shard.header().header_checksum);
    return XXH64(checksums.data(), checksums.size() * sizeof(uint64_t), 0);
}

void Dataset::verify() const {
    for (const Shard& shard : shards_) shard.verify();
}

std::vector<int64_t> token_counts(const Dataset& dataset) {
    constexpr uint64_t kPiece = uint64_t{1} << 20;
    std::vector<int64_t> counts(static_cast<size_t>(dataset.vocabulary_size()));
    std::vector<int32_t> ids(kPiece);
    for (uint64_t begin = 0; begin < dataset.stream_length(); begin += kPiece) {
        const std::span<int32_t> piece(ids.data(), std::min(kPiece, dataset.stream_length() - begin));
        dataset.read(begin, piece, {});
        for (const int32_t id : piece)
            if (id != Dataset::kSeparator) ++counts[static_cast<size_t>(id)];
    }
    return counts;
}

void pack_sequence(const Dataset& dataset, const SpecialIds& special, uint64_t index, std::span<int32_t> ids,
                   std::span<uint8_t> word_starts) {
    const size_t inside = ids.size() - 2;
    ids.front() = special.cls;
    ids.back() = special.sep;
    if (!word_starts.empty()) word_starts.front() = word_starts.back() = 1;
    dataset.read(index * inside, ids.subspan(1, inside),
                 word_starts.empty() ? word_starts : word_starts.subspan(1, inside));
    std::ranges::replace(ids, Dataset::kSeparator, special.sep);
}

}  // namespace dropforge::data
