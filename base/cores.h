// The number of cores that a process can use.
#pragma once

#include "base/file.h"

namespace dropforge {

/// The number of cores that this process may use, at least 1: those of the processors in its affinity mask,
/// hyper-threads counted once, limited by the quota of its control groups (version 1 or 2), rounded up. `root` is the
/// folder of /proc and /sys, for tests.
int usable_cores(const fs::path& root = "/");

}  // namespace dropforge
