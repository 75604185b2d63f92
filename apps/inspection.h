// The inspection of files and folders of Dropforge: their content, and whether they are intact.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/file.h"

namespace dropforge {

struct Inspection {
    std::string text;             // for people, several lines
    nlohmann::ordered_json json;  // "kind": configuration, data, shard, checkpoint, model, run
    std::string fault = {};       // of a run: its first damaged checkpoint; "" if all are intact
};

/// Options for the inspection of a configuration.
struct InspectOptions {
    fs::path svg = {};   // the file for a drawing of each Program's memory plan; empty: none
    int64_t memory = 0;  // bytes; if not 0, reports what fits into so much memory instead of the plans for this machine
};

/// Inspects `what`: a preset, a configuration (.toml), a data folder, a shard, a checkpoint or Hugging Face folder, or
/// a run folder. Verifies all checksums. Error if it is damaged, or none of these.
Inspection inspect(const std::string& what, const InspectOptions& options = {});

}  // namespace dropforge
