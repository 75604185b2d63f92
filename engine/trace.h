// A Chrome/Perfetto trace file of clocked ops.
#pragma once

#include "base/file.h"
#include "engine/executor.h"

namespace dropforge {

/// Writes the events of executors that were clocked with events as one JSON trace (chrome://tracing, ui.perfetto.dev):
/// one track for each program, on a common clock.
void write_trace(const fs::path& path, std::span<const Executor* const> executors);

}  // namespace dropforge
