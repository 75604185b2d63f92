// The subcommands of dropforge: each adds itself to the command line, and its callback does the work.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace dropforge {

/// Options that every subcommand has.
struct CommonOptions {
    bool quiet = false, json = false;
    int threads = 0;  // 0: physical cores
    std::vector<std::string> command_line;
};

/// Sets the number of threads of this process; physical cores by default.
void use_threads(const CommonOptions& common);
void add_common(CLI::App& command, CommonOptions& common);

void add_prepare(CLI::App& app, CommonOptions& common);
void add_tokenize(CLI::App& app, CommonOptions& common);
void add_parity(CLI::App& app, CommonOptions& common);
void add_pretrain(CLI::App& app, CommonOptions& common);
void add_inspect(CLI::App& app, CommonOptions& common);
void add_fill(CLI::App& app, CommonOptions& common);
void add_evaluate(CLI::App& app, CommonOptions& common);

}  // namespace dropforge
