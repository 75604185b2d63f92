// tokenizer.json, the one file that Hugging Face's tokenizers library reads and writes.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json_object.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

/// What BERT's tokenizer needs of it.
struct TokenizerJson {
    std::string where;
    Vocabulary vocabulary;
    Normalization normalization;
    std::vector<JsonObject> added_tokens;
    bool has_post_processor;
    bool strips_as_case;  // strip_accents is not given, and so as lowercase

    /// Whether a switch has no value of its own.
    bool follows(const std::string& key) const { return key == "strip_accents" && strips_as_case; }
    /// Throws Error for what is not BERT's normalizer, pre-tokenizer, WordPiece or [CLS] … [SEP] around a text.
    static TokenizerJson load(const fs::path& path);
};

/// Of a vocab.txt, or of a file whose name ends in .json, which is a tokenizer.json: one with other switches is an
/// Error.
Vocabulary load_vocabulary(const fs::path& path, const Normalization& normalization);

/// Throws Error naming the first token that differs.
void require_same_tokens(const std::string& where, const Vocabulary& own, const std::string& where_other,
                         const Vocabulary& other);

}  // namespace dropforge::data
