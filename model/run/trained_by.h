// How the model of a folder was trained, as far as that changes how it is to be used.
#pragma once

#include <memory>

#include "base/file.h"
#include "model/methods/registry.h"

namespace dropforge {

/// The method of a checkpoint's run, on its model in sequences of `sequence` tokens with `masked` masked positions;
/// dense for a folder that is no checkpoint of a run.
std::shared_ptr<const Method> trained_by(const fs::path& folder, const BertConfig& model, int64_t sequence,
                                         int64_t masked);

}  // namespace dropforge
