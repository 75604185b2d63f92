// The command line of dropforge: finds the subcommand, turns errors into one line and an exit code.
#include <fmt/format.h>
#include <omp.h>

#include <cstdio>
#include <exception>

#include "apps/commands.h"
#include "base/interrupt.h"
#include "base/spinning.h"
#include "base/startup/revision.h"
#include "engine/device.h"
#include "model/build_info.h"

namespace dropforge {

namespace {

std::string version() { return build_info("dropforge", kRevision); }

}  // namespace

void add_common(CLI::App& command, CommonOptions& common) {
    command.add_flag("--quiet", common.quiet, "No progress and no notes on stderr");
    command.add_flag("--json", common.json, "The result as JSON on stdout");
    command.add_option("--threads", common.threads, "Threads (default: physical cores)")->check(CLI::PositiveNumber);
    command.set_version_flag("--version", version, "What this program was built from and for");
}

void use_threads(const CommonOptions& common) {
    omp_set_num_threads(common.threads > 0 ? common.threads : cpu_info().physical_cores);
}

namespace {

int run(int argc, char** argv) {
    CLI::App app("Dropforge pretrains BERT: from text to a checkpoint that Hugging Face opens.", "dropforge");
    app.require_subcommand(0, 1);  // none is refused below: CLI11 would name it before a misspelt one
    app.set_version_flag("--version", version, "What this program was built from and for");
    CommonOptions common{.command_line = {argv, argv + argc}};
    add_tokenize(app, common);
    add_prepare(app, common);
    add_parity(app, common);
    add_pretrain(app, common);
    add_fill(app, common);
    add_inspect(app, common);
    add_evaluate(app, common);
    try {
        app.parse(argc, argv);
        if (app.get_subcommands().empty()) throw CLI::RequiredError("A subcommand");
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
    dropforge::limit_spinning(argv);
    try {
        return dropforge::run(argc, argv);
    } catch (const dropforge::Interrupted& interrupted) {
        return 128 + interrupted.signal;
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: {}\n", error.what());
        return 1;
    }
}
