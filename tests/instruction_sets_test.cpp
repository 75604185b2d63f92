// What the program was compiled for, and the refusal of a CPU that lacks it.
#include "base/instruction_sets.h"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>
#include "paths.h"

using namespace dropforge;

#ifdef __x86_64__

TEST_CASE("the first instruction set that is missing, of the CPU or of what the system saves") {
    CHECK(first_missing(kCompiledFor) == nullptr);
    const InstructionSet sse3{"sse3", 1, 0, 2, 0, 0}, unsaved{"unsaved", 1, 0, 2, 0, 1U << 31},
        imaginary{"imaginary", 0x1000, 0, 0, 0, 0}, end{nullptr, 0, 0, 0, 0, 0};
    const InstructionSet all_there[] = {sse3, end}, not_saved[] = {sse3, unsaved, imaginary, end},
                         not_there[] = {sse3, imaginary, unsaved, end};
    CHECK(first_missing(all_there) == nullptr);
    CHECK(first_missing(not_saved) == not_saved + 1);
    CHECK(first_missing(not_there) == not_there + 1);
}

TEST_CASE("a program for another CPU says so before it runs anything else") {
    std::FILE* pipe = popen((std::string(kPrograms) + "/imaginary_cpu 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    std::string text;
    for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
    const int status = pclose(pipe);
    CHECK(WEXITSTATUS(status) == 1);
    CHECK(text.starts_with("error: this program was compiled for CPUs with imaginary, which this one lacks"));
    CHECK(text.find('\n') == text.size() - 1);
}

#endif
