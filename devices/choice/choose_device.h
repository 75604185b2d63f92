// The choice of a device by the option --device.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "devices/device.h"

namespace dropforge {

/// The backends of this build as text: "cpu", or "cpu; cuda by nvcc 13.0.88 for 80 90".
std::string backends();

/// The device that `requested` names. "cpu": the CPU. "cuda": the GPU; Error with the reason if this build can use
/// none. "auto": a GPU if there is one, else the CPU, with the reason in the device's text.
Device choose_device(const std::string& requested);

/// Adds --device, for choose_device().
void add_device(CLI::App& command, std::string& name);
/// Adds --tf32, for with_tf32().
void add_tf32(CLI::App& command, bool& tf32);

}  // namespace dropforge
