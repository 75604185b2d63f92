// A Chrome/Perfetto trace file of clocked ops.
#pragma once

#include "base/file.h"
#include "engine/executor.h"

namespace dropforge {

/// Writes the executors' events as one JSON trace (chrome://tracing, ui.perfetto.dev): one track a program,
/// on a common clock. Clock with events first.
void write_trace(const fs::path& path, std::span<const Executor* const> executors);

}  // namespace dropforge
