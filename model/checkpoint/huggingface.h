// Models in Hugging Face's directory format: config.json and the weights, read and written.
#pragma once

#include "base/file.h"
#include "engine/buffer.h"
#include "model/network/parameters.h"

namespace dropforge {

/// A model's parameters and their f32 values.
struct Model {
    Parameters parameters;
    Buffer values;                    // [parameters.size()] f32
    std::vector<std::string> others;  // tensors of other tasks' heads, which were left out
};

/// Whether the folder is one of Hugging Face's, with a config.json, or of Google's, with a bert_config.json.
bool is_model(const fs::path& folder);
/// Reads config.json and the weights (TensorFiles). What names and formats are taken is in docs/huggingface.md; throws
/// Error for a tensor of the encoder or of the MLM and NSP heads that is missing, unknown, of a wrong shape or type, or
/// holds a number that is not finite.
Model load_model(const fs::path& folder);
/// Reads a folder's encoder into the arena `values` of `parameters`, and what it has, in the right shape, of their
/// heads; other heads are left out. Returns the names of the heads' tensors that it lacks, which keep their values.
/// Throws Error as load_model does for a tensor of the encoder.
std::vector<std::string> load_encoder(const fs::path& folder, const Parameters& parameters, float* values);
/// Of all tensors, their names and bytes; 16 hexadecimal digits. Throws Error as load_model does for files that are not
/// there.
std::string weights_fingerprint(const fs::path& folder);
/// Throws Error, saying what there is instead, unless the model can predict tokens.
void require_mlm_head(const Model& model, const fs::path& folder);
/// What was left out of the folder, for people: a line each.
std::vector<std::string> notes_on(const Model& model, const fs::path& folder);

/// Writes config.json and model.safetensors, so that transformers opens the folder as it is.
void save_model(const fs::path& folder, const Parameters& parameters, const float* values);

}  // namespace dropforge
