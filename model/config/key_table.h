// A configuration as a table of keys: from TOML and settings, to TOML, and what differs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/config/config.h"
#include "model/config/field.h"

namespace dropforge::config {

/// Key → "file:line", "--set" or the option, for the keys that were given.
using Origins = std::map<std::string, std::string>;

/// Sets the fields that a TOML text names, each table's in their own order. Throws Error for a syntax error, an unknown
/// table or key (naming the nearest), a wrong type or range (key, expected, got, file:line).
void read_toml(const std::vector<Field>& fields, Origins& origins, const std::string& text, const std::string& where);

/// Sets fields in their own order, whatever that of the settings; of two settings with the same key the later counts.
/// Throws Error as read_toml() does, when some of them may have been set.
void apply(const std::vector<Field>& fields, Origins& origins, const std::vector<Setting>& settings);

std::string to_toml(const std::vector<Field>& fields);

/// "" if two configurations define the same run, else the first key that differs and both values: "train.lr is 0.0001
/// there and 0.0002 here".
std::string difference(const std::vector<Field>& here, const std::vector<Field>& there);

}  // namespace dropforge::config
