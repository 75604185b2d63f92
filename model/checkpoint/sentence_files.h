// What sentence-transformers keeps in a model's folder beside BERT's files: how a text is cut, and how its vector is
// made.
#pragma once

#include <cstdint>
#include <string>

#include "base/file.h"
#include "model/network/pooling.h"

namespace dropforge {

struct SentencePooling {
    Pooling pooling = Pooling::mean;  // as sentence-transformers pools where no file says how
    bool normalize = false;           // to length 1
};

/// Reads modules.json, and the config.json of the pooling that it names. Throws Error, naming the file, for a module or
/// a pooling that is not read here.
SentencePooling read_sentence_pooling(const fs::path& folder);

struct SentenceTexts {
    int64_t max_length = 0;           // tokens, [CLS] and [SEP] among them
    bool lower_case = false;          // before it is tokenized
    std::string default_prompt = {};  // what sentence-transformers puts before every text; mostly empty
};

/// Reads sentence_bert_config.json, or tokenizer_config.json for the length, and config_sentence_transformers.json. The
/// length is at most `positions`, those of the model.
SentenceTexts read_sentence_texts(const fs::path& folder, int64_t positions);

}  // namespace dropforge
