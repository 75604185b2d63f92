// The batch of any step of a run, past or future, in words: what is masked, and which tokens a checkpoint's table
// keeps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/config/config.h"

namespace dropforge::report {

struct BatchToken {
    int32_t id;                            // as the model reads it
    std::string piece;                     // of that id: "##ing"
    std::string label = {};                // the piece to be predicted, where there is one
    bool special = false;                  // [CLS], [SEP]
    int32_t segment = 0;                   // token type
    bool kept = true;                      // by the table; every token where none is dropped
    std::optional<float> importance = {};  // of the table, for tokens that may be dropped
};

struct BatchSequence {
    std::vector<BatchToken> tokens = {};     // without padding
    std::optional<int32_t> pair_label = {};  // of a sentence pair: 0 where the second segment follows the first, else 1
};

struct StepBatch {
    int64_t step = 0;
    uint64_t first_sample = 0, epoch = 0;  // of the first sequence, as the run counts them from 0
    std::string kind;                      // "dense", "dropping" …
    int64_t kept = 0;                      // tokens of a sequence that stay; 0: no table tells
    std::vector<BatchSequence> sequences = {};
};

/// The first `sequences` of step `step` ≥ 1 of a run with this configuration, whose data.path is there. `checkpoint`:
/// whose importance table tells the tokens that stay, if the step drops any by such a table; empty: none. Throws Error
/// for bad input.
StepBatch read_step_batch(RunConfig config, int64_t step, int64_t sequences, const fs::path& checkpoint);

}  // namespace dropforge::report
