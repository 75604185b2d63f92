// Vectors of sentences, one for each line of a text, in a file that NumPy reads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "engine/tensor.h"
#include "model/network/pooling.h"

namespace dropforge {

struct EmbedOptions {
    fs::path model, text, out;               // text "-": standard input
    std::optional<Pooling> pooling = {};     // instead of what the model's folder says, of which nothing is done then
    bool normalize = false;                  // to length 1, whatever the folder says
    std::optional<int64_t> max_length = {};  // tokens of a sentence; else as the folder says
    int64_t batch = 32;                      // sentences at a time: memory and speed, not the result
    DType dtype = DType::f32;
    std::string device = "auto";
    bool overwrite = false;
};

struct EmbedResult {
    int64_t sentences = 0, size = 0;  // of the vectors
    int64_t max_length = 0, cut = 0;  // tokens; sentences that were longer
    Pooling pooling = Pooling::mean;
    bool normalized = false;
    double seconds = 0;              // without loading the model
    std::vector<std::string> notes;  // for the user
};

/// Writes the vectors as f32 [sentences, h], in the order of the lines; an empty line is the sentence [CLS] [SEP].
/// Throws Error for a text without a line, files that are not read, `out` that is there already, and a vector that is
/// not finite; `out` is as it was then.
EmbedResult embed(const EmbedOptions& options);

}  // namespace dropforge
