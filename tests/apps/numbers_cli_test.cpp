// Numbers on the command line: every option that takes a whole number refuses what is none, or out of its range.
#include <doctest/doctest.h>

#include <algorithm>
#include <sstream>

#include "base/command_line.h"
#include "tests/support/command.h"
#include "tests/support/corpus_fixture.h"
#include "tests/support/shell.h"

using namespace dropforge;
using namespace dropforge::test;

namespace {

/// "program subcommand --option" for each option that --help shows with a whole number.
std::vector<std::string> options_with_numbers() {
    std::vector<std::string> found;
    for (const char* name : {"dropforge", "bench"}) {
        const std::string program = std::string(kPrograms) + "/" + name;
        std::istringstream subcommands(run_shell(program + " --help").text);
        bool listed = false;
        for (std::string line; std::getline(subcommands, line);) {
            listed |= line.starts_with("Subcommands:");
            if (!listed || !line.starts_with("  ") || line.starts_with("   ")) continue;
            const std::string command = program + " " + line.substr(2, line.find(' ', 2) - 2);
            std::istringstream options(run_shell(command + " --help").text);
            for (std::string option; std::getline(options, option);) {
                const size_t flag = option.find("--"), end = option.find(' ', flag);
                if (flag == std::string::npos || option.find_first_not_of(' ') != flag || end == std::string::npos)
                    continue;
                const std::string type = option.substr(end + 1);
                if (type.starts_with("INT") || type.starts_with("UINT"))
                    found.push_back(command + " " + option.substr(flag, end - flag));
            }
        }
    }
    return found;
}

std::string message_of(CLI::Validator validator, std::string text) { return validator(text); }

}  // namespace

TEST_CASE("what is no whole number of an option's range is wrong usage, in one line") {
    const std::vector<std::string> options = options_with_numbers();
    CHECK(options.size() >= 20);
    for (const std::string& option : options) {
        for (const char* value :
             {"-1", "18446744073709551616", "9999999999999999999999", "1.5", "1e3", "0x10", "two"}) {
            const Outcome outcome = run_shell(fmt::format("{}={}", option, value));
            CAPTURE(option);
            CAPTURE(value);
            CHECK(outcome.exit_code == 2);
            CHECK(outcome.text.starts_with("error: --"));
            CHECK(contains(outcome.text, "expected a whole number from "));
            CHECK(std::ranges::count(outcome.text, '\n') == 1);
        }
    }
}

TEST_CASE("a range holds its ends, and digits are decimal") {
    const CLI::Validator small = whole_number(3, 7), seeds = whole_number<uint64_t>(0);
    CHECK(message_of(small, "3") == "");
    CHECK(message_of(small, "7") == "");
    CHECK(message_of(small, "2") == "expected a whole number from 3 to 7, got 2");
    CHECK(message_of(small, "8") == "expected a whole number from 3 to 7, got 8");
    CHECK(message_of(seeds, "18446744073709551615") == "");
    CHECK(message_of(seeds, "-1") == "expected a whole number from 0 to 18446744073709551615, got -1");
    const Corpus corpus;
    std::vector<std::string> command = corpus.command();
    command.insert(command.end(), {"--seed", "010"});
    REQUIRE(run_command(command).exit_code == 0);
    CHECK(data::Receipt::load(corpus.folder / "data").made_from.at("seed") == "10");
}
