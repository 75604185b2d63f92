// Documents to their split: what `prepare` does with the tokens of its text, in order.
#pragma once

#include <cstdint>
#include <vector>

#include "data/prepare/prepare.h"
#include "data/shards/split_writer.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

/// Whether document number `index` goes to the validation split: a pure function, so it does not depend on how the work
/// is cut.
bool in_validation(uint64_t index, double fraction, uint64_t seed);

/// Numbers the documents, drops the short ones, and gives each of the others to its split.
class DocumentSink {
  public:
    /// Writes to options.out and counts in `receipt`; both outlive it.
    DocumentSink(const PrepareOptions& options, const ShardVocabulary& vocabulary, Receipt& receipt);

    /// More of the current document; has_text: its text has something that is no white space.
    void append(const TokenRun& run, bool has_text);
    void end_document();
    void finish(const Vocabulary& vocabulary);

  private:
    SplitWriter& split();
    TokenRun held() const { return {held_ids_, held_words_, held_sentences_}; }
    void drop_held();
    void describe_frequencies(const Vocabulary& vocabulary);

    const PrepareOptions& options_;
    Receipt& receipt_;  // documents: the current one's number
    SplitWriter train_, validation_;
    bool started_ = false, has_text_ = false;           // started: the current document is long enough
    std::vector<int32_t> held_ids_;                     // of a document that is not
    std::vector<uint8_t> held_words_, held_sentences_;  // their starts
};

}  // namespace dropforge::data
