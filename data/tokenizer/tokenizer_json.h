// tokenizer.json, the file of Hugging Face's tokenizers library.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"
#include "base/json_object.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge::data {

/// The contents of a tokenizer.json that BERT's tokenizer needs.
struct TokenizerJson {
    std::string where;
    Vocabulary vocabulary;
    Normalization normalization;
    std::vector<JsonObject> added_tokens;
    bool has_post_processor;
    bool strips_as_case;  // whether strip_accents is absent, and so follows lowercase

    /// Whether a switch is absent.
    bool follows(const std::string& key) const { return key == "strip_accents" && strips_as_case; }
    /// Reads the file. Error for anything but BERT's normalizer, pre-tokenizer, WordPiece and [CLS] … [SEP] around a
    /// text.
    static TokenizerJson load(const fs::path& path);
};

/// The vocabulary of a vocab.txt, or of a tokenizer.json (a name that ends in .json); Error if the latter has other
/// switches.
Vocabulary load_vocabulary(const fs::path& path, const Normalization& normalization);

/// Error that names the first token in which two vocabularies differ.
void require_same_tokens(const std::string& where, const Vocabulary& own, const std::string& where_other,
                         const Vocabulary& other);

}  // namespace dropforge::data
