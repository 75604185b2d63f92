// Models in Hugging Face's directory format: config.json, model.safetensors, vocab.txt and the tokenizer's files, read
// and written.
#pragma once

#include "base/file.h"
#include "data/wordpiece.h"
#include "engine/buffer.h"
#include "model/parameters.h"

namespace dropforge {

/// A model's parameters and their f32 values.
struct Model {
    Parameters parameters;
    Buffer values;  // [parameters.size()] f32
};

/// Reads config.json and model.safetensors. Names may lack the prefix "bert." (a bare BertModel), and LayerNorm may
/// have gamma and beta; *.position_ids and cls.predictions.decoder.* (tied copies) are ignored. Throws Error for any
/// other tensor, a missing one, a wrong shape, a decoder of its own.
Model load_model(const fs::path& folder);

/// Writes config.json and model.safetensors, so that transformers opens the folder as it is.
void save_model(const fs::path& folder, const Parameters& parameters, const float* values);
/// Copies vocab.txt and writes tokenizer_config.json and special_tokens_map.json for AutoTokenizer.
void save_tokenizer(const fs::path& folder, const fs::path& vocabulary, bool cased, int64_t max_positions);
/// The vocabulary of a model folder: vocab.txt, or where there is none that of tokenizer.json.
data::Vocabulary load_vocabulary(const fs::path& folder);
/// Throws Error, naming the first token that differs, unless the folder's vocabulary holds the tokens of `vocabulary`;
/// a folder without one cannot be checked and is refused too.
void require_vocabulary(const fs::path& folder, const data::Vocabulary& vocabulary);
/// Whether tokenizer_config.json beside a vocab.txt says cased (do_lower_case false). No such file: uncased.
bool tokenizer_is_cased(const fs::path& folder);

}  // namespace dropforge
