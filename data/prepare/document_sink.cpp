#include "data/prepare/document_sink.h"

#include <algorithm>

#include "base/philox.h"

namespace dropforge::data {

namespace {

constexpr uint64_t kValidationKey = 0x56414c4944415445;  // "VALIDATE"

}  // namespace

bool in_validation(uint64_t index, double fraction, uint64_t seed) {
    const Philox4 drawn =
        philox4x32({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32), 0, 0}, seed ^ kValidationKey);
    return static_cast<double>(drawn[0]) < fraction * 0x1p32;
}

DocumentSink::DocumentSink(const PrepareOptions& options, const ShardVocabulary& vocabulary, Receipt& receipt)
    : options_(options),
      receipt_(receipt),
      train_(options.out, Split::train, vocabulary, options.shard_tokens, options.sentences != SentenceBreak::none),
      validation_(options.out, Split::validation, vocabulary, options.shard_tokens,
                  options.sentences != SentenceBreak::none) {}

SplitWriter& DocumentSink::split() {
    return in_validation(receipt_.documents, options_.validation_fraction, options_.seed) ? validation_ : train_;
}

void DocumentSink::append(const TokenRun& run, bool has_text) {
    has_text_ |= has_text;
    if (started_) {
        split().append(run);
        return;
    }
    held_ids_.insert(held_ids_.end(), run.ids.begin(), run.ids.end());
    held_words_.insert(held_words_.end(), run.word_starts.begin(), run.word_starts.end());
    held_sentences_.insert(held_sentences_.end(), run.sentence_starts.begin(), run.sentence_starts.end());
    if (held_ids_.size() < options_.min_document_tokens) return;
    split().append(held());
    started_ = true;
    drop_held();
}

void DocumentSink::drop_held() {
    held_ids_.clear();
    held_words_.clear();
    held_sentences_.clear();
}

void DocumentSink::end_document() {
    if (started_) {
        split().end_document();
    } else if (!held_ids_.empty()) {
        split().count_drop(DropReason::short_document, held_ids_.size());
        Drop& drop = receipt_.drops[static_cast<size_t>(DropReason::short_document)];
        ++drop.documents;
        drop.tokens += held_ids_.size();
    } else if (has_text_) {
        ++receipt_.documents_without_tokens;
    }
    if (started_ || !held_ids_.empty()) ++receipt_.documents;
    drop_held();
    started_ = has_text_ = false;
}

void DocumentSink::finish(const Vocabulary& vocabulary) {
    train_.finish();
    validation_.finish();
    receipt_.train = train_.shards();
    receipt_.validation = validation_.shards();
    receipt_.train_documents = train_.documents();
    receipt_.validation_documents = validation_.documents();
    if (options_.sentences != SentenceBreak::none) receipt_.sentences = {train_.sentences(), validation_.sentences()};
    describe_frequencies(vocabulary);
}

void DocumentSink::describe_frequencies(const Vocabulary& vocabulary) {
    std::vector<uint64_t> counts(train_.counts().begin(), train_.counts().end());
    counts[static_cast<size_t>(vocabulary.special().unk)] = 0;
    receipt_.unigram_entropy = unigram_entropy(counts, vocabulary.special().unk);
    const auto top = std::ranges::max_element(counts);
    uint64_t total = 0;
    for (const uint64_t count : counts) total += count;
    if (total == 0) return;
    receipt_.top_token = vocabulary.token(static_cast<int32_t>(top - counts.begin()));
    receipt_.top_token_share = static_cast<double>(*top) / static_cast<double>(total);
}

}  // namespace dropforge::data
