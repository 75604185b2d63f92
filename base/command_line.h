// What every program of ours does around its subcommands: parsing, --version everywhere, errors as one line and an exit
// code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace dropforge {

struct CommandLine {
    std::string name, description;
    std::function<std::string()> version;            // what --version prints
    std::function<void(CLI::App&)> add_subcommands;  // each with a callback that does its work
};

/// The whole of main: runs the subcommand that argv names, without subnormal numbers. Returns the exit code: 0; 1 after
/// an exception, or if stdout did not take all that was printed, 2 for wrong usage, each with one line "error: …" on
/// stderr; 128 + signal after Interrupted.
int run_command_line(const CommandLine& program, int argc, char** argv);

/// Adds --threads, which is 0 unless it is given.
void add_threads(CLI::App& command, int& threads);
/// The threads to work with: as many as --threads said, else one for each of usable_cores().
int thread_count(int threads);

}  // namespace dropforge
