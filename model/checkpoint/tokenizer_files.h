// The tokenizer of a model folder in Hugging Face's format: vocab.txt, tokenizer.json, tokenizer_config.json,
// special_tokens_map.json and added_tokens.json, read and written.
#pragma once

#include "base/file.h"
#include "data/tokenizer/added_tokens.h"
#include "data/tokenizer/wordpiece.h"

namespace dropforge {

struct ModelTokenizer {
    data::Vocabulary vocabulary;
    data::Normalization normalization;
    std::vector<data::AddedToken> added;  // the special tokens, and others; ids past the vocabulary follow on it
    std::vector<std::string> notes;       // what was not plain: a switch that no file gives, files that differ

    /// The token of an id of the vocabulary, or of one added past it; empty if none has it.
    std::string token(int32_t id) const;
    /// The ids that tokens have are 0 … size()−1.
    int32_t size() const;
};

/// Reads what there is of the files. What each key does is in docs/huggingface.md; throws Error for a key that would
/// make it another tokenizer, and for files that contradict each other.
ModelTokenizer load_tokenizer(const fs::path& folder);

/// Throws Error unless the folder's tokenizer is that of data with this vocabulary and these switches, naming the first
/// token or the switch that differs; `data` is their folder. Returns what could not be compared, for people.
std::vector<std::string> require_same_tokenizer(const fs::path& folder, const fs::path& data,
                                                const data::Vocabulary& vocabulary,
                                                const data::Normalization& normalization);

/// Writes vocab.txt, tokenizer_config.json and special_tokens_map.json for AutoTokenizer.
void save_tokenizer(const fs::path& folder, const data::Vocabulary& vocabulary,
                    const data::Normalization& normalization, int64_t max_positions);

}  // namespace dropforge
