// A run's model in a folder of its own, to be given away: weights, tokenizer, model card, numbers to check it by.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

struct Exported {
    fs::path checkpoint;
    int64_t step = 0;
    std::vector<std::string> files;  // in the folder that was written
};

/// Writes `out`, which is not there yet or an empty folder, from the checkpoint after `step` (-1: the newest) of a run
/// folder. Throws Error for a run without such a checkpoint, and for a damaged one; `out` is as it was then.
Exported export_model(const fs::path& run, int64_t step, const fs::path& out);

}  // namespace dropforge
