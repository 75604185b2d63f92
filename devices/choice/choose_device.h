// Where a program computes, from its --device option.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "devices/device.h"

namespace dropforge {

/// What choose_device() can choose of: "cpu", or "cpu; cuda by nvcc 13.0.88 for 80 90".
std::string backends();

/// "cpu"; "cuda": Error with the reason if there is none that this build can use; "auto": a GPU if there is one, else
/// the CPU, and the text says why.
Device choose_device(const std::string& wanted);

/// Adds --device, whose value is for choose_device().
void add_device(CLI::App& command, std::string& name);
/// Adds --tf32, whose value says whether with_tf32() is wanted.
void add_tf32(CLI::App& command, bool& tf32);

}  // namespace dropforge
