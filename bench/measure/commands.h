// The subcommands of bench: each function adds one to the command line, with a callback that runs it.
#pragma once

#include <CLI/CLI.hpp>

namespace dropforge {

void add_data(CLI::App& app);
void add_kernels(CLI::App& app);
void add_gemm(CLI::App& app);
void add_step(CLI::App& app);
void add_predict(CLI::App& app);

}  // namespace dropforge
