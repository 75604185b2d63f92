// The command line of dropforge: finds the subcommand, turns errors into one line and an exit code.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "apps/commands.h"

namespace dropforge {

void add_common(CLI::App& command, CommonOptions& common) {
    command.add_flag("--quiet", common.quiet, "No progress and no notes on stderr");
    command.add_flag("--json", common.json, "The result as JSON on stdout");
    command.add_option("--threads", common.threads, "Threads (default: physical cores)")->check(CLI::PositiveNumber);
}

namespace {

int run(int argc, char** argv) {
    CLI::App app("Dropforge pretrains BERT: from text to a checkpoint that Hugging Face opens.", "dropforge");
    app.require_subcommand(1);
    CommonOptions common;
    add_tokenize(app, common);
    add_prepare(app, common);
    add_parity(app, common);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked_for_text) {
        return app.exit(asked_for_text);
    } catch (const CLI::ParseError& error) {
        fmt::print(stderr, "error: {} (see dropforge --help)\n", error.what());
        return 2;
    }
    return 0;
}

}  // namespace
}  // namespace dropforge

int main(int argc, char** argv) {
    try {
        return dropforge::run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: {}\n", error.what());
        return 1;
    }
}
