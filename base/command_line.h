// What every program of ours does around its subcommands: parsing, --version everywhere, errors as one line and an exit
// code.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <functional>
#include <limits>
#include <string>

namespace dropforge {

struct CommandLine {
    std::string name, description;
    std::function<std::string()> version;  // what --version prints
    // Each with a callback that does its work. The first line of a description stands in the program's --help, and is
    // the NAME of its man page; what follows an empty line is the page's DESCRIPTION.
    std::function<void(CLI::App&)> add_subcommands;
};

/// The whole of main: runs the subcommand that argv names, without subnormal numbers. Returns the exit code: 0; 1 after
/// an exception, or if stdout did not take all that was printed, 2 for wrong usage, each with one line "error: …" on
/// stderr; 128 + signal after Interrupted.
int run_command_line(const CommandLine& program, int argc, char** argv);

/// For `->transform()`: what an option of type Number takes, a whole number in decimal digits. CLI11 by itself wraps -1
/// and saturates what is too large, takes 010 for 8, and its own checks see only what has become of the text.
template <typename Number>
CLI::Validator whole_number(Number least, Number most = std::numeric_limits<Number>::max()) {
    const auto check = [least, most](std::string& text) -> std::string {
        Number value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size() || value < least || value > most)
            return fmt::format("expected a whole number from {} to {}, got {}", least, most, text);
        text = fmt::format("{}", value);
        return {};
    };
    return {check, most == std::numeric_limits<Number>::max() ? fmt::format("from {}", least)
                                                              : fmt::format("{} to {}", least, most)};
}

/// Adds --threads, which is 0 unless it is given.
void add_threads(CLI::App& command, int& threads);
/// The threads to work with: as many as --threads said, else one for each of usable_cores().
int thread_count(int threads);

}  // namespace dropforge
