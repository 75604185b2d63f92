// The command line of bench, the throughput studies: a table for people, one JSON object with --json.
#include "bench/commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "base/spinning.h"
#include "base/startup/revision.h"
#include "model/build_info.h"

namespace dropforge {

namespace {

int run(int argc, char** argv) {
    CLI::App app("Measures what Dropforge's parts deliver on this machine.", "bench");
    app.require_subcommand(0, 1);  // none is refused below: CLI11 would name it before a misspelt one
    app.set_version_flag("--version", [] { return build_info("bench", kRevision); });
    add_data(app);
    add_kernels(app);
    add_gemm(app);
    add_step(app);
    try {
        app.parse(argc, argv);
        if (app.get_subcommands().empty()) throw CLI::RequiredError("A subcommand");
    } catch (const CLI::Success& asked_for_text) {
        return app.exit(asked_for_text);
    } catch (const CLI::ParseError& error) {
        fmt::print(stderr, "error: {} (see bench --help)\n", error.what());
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
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: {}\n", error.what());
        return 1;
    }
}
