#include "base/command_line.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "base/cores.h"
#include "base/interrupt.h"
#include "base/spinning.h"
#include "base/subnormals.h"

namespace dropforge {

namespace {

int parse(const CommandLine& program, int argc, char** argv) {
    CLI::App app(program.description, program.name);
    app.require_subcommand(0, 1);  // none is refused below: CLI11 would name it before a misspelt one
    program.add_subcommands(app);
    const auto offer_version = [&](CLI::App& command) {
        command.set_version_flag("--version", program.version, "What this program was built from and for");
    };
    offer_version(app);
    for (CLI::App* command : app.get_subcommands({})) offer_version(*command);
    try {
        app.parse(argc, argv);
        if (app.get_subcommands().empty()) throw CLI::RequiredError("A subcommand");
    } catch (const CLI::Success& asked_for_text) {
        return app.exit(asked_for_text);
    } catch (const CLI::ParseError& error) {
        fmt::print(stderr, "error: {} (see {} --help)\n", error.what(), program.name);
        return 2;
    }
    return 0;
}

}  // namespace

void add_threads(CLI::App& command, int& threads) {
    command.add_option("--threads", threads, "Threads (default: one for each core that it may use)")
        ->check(CLI::PositiveNumber);
}

int thread_count(int threads) { return threads > 0 ? threads : usable_cores(); }

int run_command_line(const CommandLine& program, int argc, char** argv) {
    limit_spinning(argv);
    flush_subnormals();
    try {
        return parse(program, argc, argv);
    } catch (const Interrupted& interrupted) {
        return 128 + interrupted.signal;
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: {}\n", error.what());
        return 1;
    }
}

}  // namespace dropforge
