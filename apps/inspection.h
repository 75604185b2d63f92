// What a file or folder of Dropforge is, and whether it is whole.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"

namespace dropforge {

struct Inspection {
    std::string text;             // for people, several lines
    nlohmann::ordered_json json;  // "kind": configuration, data, shard, checkpoint, model, run
    std::string fault = {};       // of a run: its first damaged checkpoint; "" if all are whole
};

/// Of a configuration.
struct InspectOptions {
    fs::path svg = {};   // where its memory plans are drawn, one file a Program; empty: nowhere
    int64_t memory = 0;  // bytes: what fits into so many is told, not the plans for this machine; 0: not asked
};

/// `what`: a preset, a configuration (.toml), a data folder, a shard, a checkpoint or Hugging Face folder, a run
/// folder. Reads every byte that a checksum guards. Throws Error for what is damaged, or is none of these.
Inspection inspect(const std::string& what, const InspectOptions& options = {});

}  // namespace dropforge
