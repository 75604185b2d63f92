// The subcommands of dropforge: each adds itself to the command line, and its callback does the work.
#pragma once

#include <CLI/CLI.hpp>

namespace dropforge {

/// Options that every subcommand has.
struct CommonOptions {
    bool quiet = false, json = false;
    int threads = 0;  // 0: physical cores
};

void add_common(CLI::App& command, CommonOptions& common);

void add_prepare(CLI::App& app, CommonOptions& common);
void add_tokenize(CLI::App& app, CommonOptions& common);
void add_parity(CLI::App& app, CommonOptions& common);

}  // namespace dropforge
