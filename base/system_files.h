// What Linux says in /proc and /sys: texts of small files, and the control groups that this process is in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// Such files say a size of 0, so this reads to their end. Empty if there is none.
std::string system_text(const fs::path& path);

/// The first number of a text; none for "max" or nothing.
std::optional<int64_t> first_number(const std::string& text);

/// Lines "key : value", both without space around them; of two with one key the first counts.
std::map<std::string, std::string> system_fields(const std::string& text);

/// The folders of this process's control group and those above it, of version 2 (controller "") or one of version 1;
/// the mount itself is last. `root`: where /proc and /sys are found.
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller);

}  // namespace dropforge
