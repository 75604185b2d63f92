// The command line of a program with subcommands: parsing, --version, errors as one line and an exit code.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <functional>
#include <limits>
#include <string>

namespace dropforge {

/// A program's name and subcommands.
struct CommandLine {
    std::string name, description;
    std::function<std::string()> version;  // the text of --version
    /// Adds the subcommands, each with a callback that runs it. The first line of a description appears in the
    /// program's
    /// --help and as the man page's NAME; the text after an empty line is the page's DESCRIPTION.
    std::function<void(CLI::App&)> add_subcommands;
};

/// The body of main: runs the subcommand that argv names, without subnormal numbers. Returns the exit code: 0 for
/// success; 1 after an exception or an incomplete write to stdout, 2 for wrong usage, each with one line "error: …" on
/// stderr; 128 + signal after Interrupted.
int run_command_line(const CommandLine& program, int argc, char** argv);

/// For `->transform()`: accepts whole numbers from `least` to `most` in decimal digits. CLI11 by itself wraps -1,
/// saturates numbers that are too large, reads 010 as 8, and its checks see only the converted number.
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

/// The heading in --help of the options that most subcommands have; it comes last.
inline constexpr const char* kCommonOptions = "Common options";

/// Adds --threads, which is 0 unless it is given.
void add_threads(CLI::App& command, int& threads);
/// The number of threads to use: that of --threads, or if it is 0 usable_cores().
int thread_count(int threads);

}  // namespace dropforge
