#include "base/command_line.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <new>
#include <sstream>
#include <string>

#include "base/cores.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/spinning.h"
#include "base/subnormals.h"

namespace dropforge {

namespace {

/// Prints the error; a failure to write to stderr is ignored.
void print_error(const std::string& text) { std::fputs(fmt::format("error: {}\n", text).c_str(), stderr); }

/// Opens /dev/null in place of closed standard streams, so that no file of the program gets their numbers. Read-only,
/// so that writing is an error, as it is to a closed stream.
void open_closed_streams() {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream)
        if (fcntl(stream, F_GETFD) < 0) open("/dev/null", O_RDONLY);  // takes the lowest number that is free
}

/// Error unless everything printed, the text of --help too, was written.
void require_written() {
    const int error = std::fflush(stdout) == 0 ? 0 : errno;
    require(error == 0, "cannot write to stdout: {}", std::strerror(error));
    require(std::ferror(stdout) == 0, "cannot write to stdout");
}

/// The first line of a description, for the list of subcommands.
class HelpFormatter final : public CLI::Formatter {
    std::string make_description(const CLI::App* command) const override {
        const std::string text = CLI::Formatter::make_description(command);
        return text.find("\n\n") == std::string::npos ? text : text + '\n';
    }
    std::string make_subcommand(const CLI::App* command) const override {
        const std::string text = command->get_description();
        std::ostringstream line;
        CLI::detail::format_help(line, command->get_name(), text.substr(0, text.find('\n')), column_width_);
        return line.str();
    }
};

constexpr const char* kExitStatus =
    "Exit status: 0 on success; 1 after an error and 2 after wrong usage, with one line on stderr; 128 + N after "
    "signal N";

int parse(const CommandLine& program, int argc, char** argv) {
    CLI::App app(program.description, program.name);
    app.formatter(std::make_shared<HelpFormatter>());
    app.require_subcommand(0, 1);  // none is refused below: CLI11 would name it before a misspelt one
    program.add_subcommands(app);
    const auto complete = [&](CLI::App& command) {
        command.set_help_flag();  // and again, as the last group
        command.set_help_flag("-h,--help", "Print this help and exit")->group(kCommonOptions);
        command.set_version_flag("--version", program.version, "Print version, revision and build, and exit")
            ->group(kCommonOptions);
        const std::string examples = command.get_footer();
        command.footer(examples + (examples.empty() ? "" : "\n\n") + kExitStatus);
    };
    complete(app);
    for (CLI::App* command : app.get_subcommands({})) complete(*command);
    try {
        app.parse(argc, argv);
        if (app.get_subcommands().empty()) throw CLI::RequiredError("A subcommand");
    } catch (const CLI::Success& success) {
        std::ostringstream text;
        const int code = app.exit(success, text, text);
        std::fputs(text.str().c_str(), stdout);
        return code;
    } catch (const CLI::ParseError& error) {
        print_error(fmt::format("{} (see {} --help)", error.what(), program.name));
        return 2;
    }
    return 0;
}

}  // namespace

void add_threads(CLI::App& command, int& threads) {
    command
        .add_option("--threads", threads, "Number of threads (default: the number of cores that the process may use)")
        ->transform(whole_number(1, 4096))
        ->group(kCommonOptions);
}

int thread_count(int threads) { return threads > 0 ? threads : usable_cores(); }

int run_command_line(const CommandLine& program, int argc, char** argv) {
    open_closed_streams();
    limit_spinning(argv);
    flush_subnormals();
    try {
        const int code = parse(program, argc, argv);
        require_written();
        return code;
    } catch (const Interrupted& interrupted) {
        return 128 + interrupted.signal;
    } catch (const std::bad_alloc&) {
        print_error("out of memory: the system, or a limit of this process (ulimit -v, -d), has no more");
        return 1;
    } catch (const std::filesystem::filesystem_error& error) {
        print_error(error.path1().empty() ? error.what()
                                          : fmt::format("{}: {}", error.path1().string(), error.code().message()));
        return 1;
    } catch (const std::exception& error) {
        print_error(error.what());
        return 1;
    }
}

}  // namespace dropforge
