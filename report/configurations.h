// In which keys runs differ, and the command line that stands for a configuration.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/config/config.h"

namespace dropforge::report {

/// The keys in the order of a configuration that do not have one value in all of them. A key that a run's method does
/// not read has the value "".
std::vector<std::string> differing_keys(const std::vector<const RunConfig*>& configurations);
/// Key → value as in TOML.
std::map<std::string, std::string> values_of(RunConfig config);

/// A shell's command line that makes a run of this configuration: the preset that its model has, or is nearest to, and
/// what is not the default. `initial`: of --init; empty: none.
std::string pretrain_command(const RunConfig& config, const std::string& out, const std::string& initial);

}  // namespace dropforge::report
