// How many threads are worth starting.
#pragma once

#include "base/file.h"

namespace dropforge {

/// The cores that this process may keep busy, at least 1: those of the processors in its affinity mask, hyper-threads
/// counted once, and no more than the quota of its control groups (of version 1 or 2), rounded up. `root`: where /proc
/// and /sys are found, for tests.
int usable_cores(const fs::path& root = "/");

}  // namespace dropforge
