// The demo's text (scripts/demo/demo.sh) out of two kinds of files that Debian ships, one .txt a work.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/command_line.h"
#include "base/error.h"
#include "base/file.h"
#include "base/revision.h"
#include "scripts/demo/novel.h"
#include "scripts/demo/pod.h"
#include "scripts/demo/r_data.h"

namespace dropforge::demo {

namespace {

/// OUT/NAME.txt, a line each.
void write_work(const fs::path& out, const std::string& name, const std::vector<std::string>& lines) {
    require(is_file_name(name), "\"{}\" is no name for a file", name);
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    write_text(out / (name + ".txt"), text);
}

void write_novels(const fs::path& package, const fs::path& out) {
    for (const RStrings& novel : read_r_package(package)) write_work(out, novel.name, paragraphs(novel.values));
}

/// Pages of Perl's that are tables, or in other languages than English.
constexpr std::array<std::string_view, 6> kLeftOut{"perltoc", "perluniprops", "perlcn", "perljp", "perlko", "perltw"};

void write_manual(const std::vector<std::string>& pages, const fs::path& out) {
    for (const fs::path page : pages) {
        const std::string name = page.stem().string();
        if (std::find(kLeftOut.begin(), kLeftOut.end(), name) == kLeftOut.end())
            write_work(out, name, prose(read_text(page)));
    }
}

void add_subcommands(CLI::App& app) {
    const auto add = [&](const char* name, const char* about, auto write) {
        struct Options {
            std::string out;
            std::vector<std::string> from;
        };
        auto options = std::make_shared<Options>();
        CLI::App& command = *app.add_subcommand(name, about);
        command.add_option("out", options->out, "The folder for the text")->required();
        command.add_option("from", options->from, "What it is made from")->required();
        command.callback([options, write] { write(options->from, options->out); });
    };
    add("novels", "The strings in an R package's folder of data, as paragraphs", [](const auto& from, const auto& out) {
        for (const std::string& package : from) write_novels(package, out);
    });
    add("pod", "Perl's documentation: prose only, no code", write_manual);
}

}  // namespace

}  // namespace dropforge::demo

int main(int argc, char** argv) {
    using namespace dropforge;
    return run_command_line(
        {.name = "demo_text",
         .description = "Plain text of files that Debian ships: a paragraph a line, an empty line between chapters.",
         .version = [] { return fmt::format("demo_text {}", kRevision); },
         .add_subcommands = demo::add_subcommands},
        argc, argv);
}
