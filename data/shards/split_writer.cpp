#include "data/shards/split_writer.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/error.h"

namespace dropforge::data {

namespace {

constexpr uint64_t kShardDocuments = uint64_t{1} << 22;  // 32 MB of offsets while a shard is written

}  // namespace

std::string shard_name(Split split, size_t number) { return fmt::format("{}-{:05}.shard", name_of(split), number); }

SplitWriter::SplitWriter(const fs::path& folder, Split split, const ShardVocabulary& vocabulary, uint64_t shard_tokens,
                         bool sentences)
    : folder_(folder),
      split_(split),
      vocabulary_(vocabulary),
      shard_tokens_(shard_tokens),
      with_sentences_(sentences),
      counts_(static_cast<size_t>(vocabulary.size)) {
    require(shard_tokens >= 1, "shard tokens {}: expected at least 1", shard_tokens);
}

void SplitWriter::append(TokenRun run) {
    while (!run.ids.empty()) {
        bool continues = false;
        if (writer_ != nullptr && (writer_->tokens() == shard_tokens_ || writer_->documents() == kShardDocuments)) {
            continues = writer_->document_open();
            close_shard();
        }
        if (writer_ == nullptr) {
            writer_ = std::make_unique<ShardWriter>(folder_ / shard_name(split_, shards_.size()), vocabulary_,
                                                    continues, with_sentences_);
        }
        const size_t part = std::min<uint64_t>(run.ids.size(), shard_tokens_ - writer_->tokens());
        writer_->append(run.part(0, part));
        run = run.part(part, run.ids.size() - part);
    }
}

void SplitWriter::end_document() {
    writer_->end_document();
    ++documents_;
}

void SplitWriter::count_drop(DropReason reason, uint64_t tokens) {
    Drop& drop = drops_[static_cast<size_t>(reason)];
    ++drop.documents;
    drop.tokens += tokens;
}

void SplitWriter::finish() {
    if (writer_ != nullptr) close_shard();
}

void SplitWriter::close_shard() {
    const ShardHeader header = writer_->close(std::exchange(drops_, {}));
    sentences_ += header.sentences;
    std::ranges::transform(counts_, writer_->counts(), counts_.begin(), std::plus<>());
    shards_.push_back({shard_name(split_, shards_.size()), header.file_bytes, header.tokens, header.documents,
                       header.header_checksum});
    writer_ = nullptr;
}

}  // namespace dropforge::data
