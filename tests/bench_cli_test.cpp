// The command line of bench.
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

namespace {

struct Outcome {
    int exit_code;
    std::string text;  // stdout and stderr
};

Outcome bench(const std::string& arguments) {
    FILE* pipe = popen((DROPFORGE_BIN "/bench " + arguments + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c = 0; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    return {WEXITSTATUS(pclose(pipe)), text};
}

}  // namespace

TEST_CASE("--version, also of a subcommand, says what was built") {
    const Outcome version = bench("--version");
    CHECK(version.exit_code == 0);
    CHECK(version.text.starts_with("bench "));
    CHECK(version.text.find("\nrevision ") != std::string::npos);
    for (const char* name : {"data", "kernels", "gemm", "step"})
        CHECK(bench(name + std::string(" --version")).text == version.text);
}

TEST_CASE("wrong usage: exit 2 and one line") {
    for (const char* arguments : {"", "stop", "step --nonsense"}) {
        CAPTURE(arguments);
        const Outcome outcome = bench(arguments);
        CHECK(outcome.exit_code == 2);
        CHECK(outcome.text.starts_with("error: "));
        CHECK(outcome.text.find("(see bench --help)\n") == outcome.text.size() - 19);
    }
    CHECK(bench("step --model abacus").exit_code == 1);
}
