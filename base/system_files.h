// Linux's files in /proc and /sys: their texts, and the control groups of this process.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace dropforge {

/// The text of a file in /proc or /sys, whose size is given as 0; empty if there is no such file.
std::string system_text(const fs::path& path);

/// The first number of a text; none for "max" or nothing.
std::optional<int64_t> first_number(const std::string& text);

/// The lines "key : value" as a map, without spaces around key and value; the first line of a key counts.
std::map<std::string, std::string> system_fields(const std::string& text);

/// The folders of this process's control group and of its parents, the mount last; version 2 if `controller` is empty,
/// else that controller of version 1. `root` is the folder of /proc and /sys.
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller);

}  // namespace dropforge
